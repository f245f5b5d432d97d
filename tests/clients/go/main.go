// Ollama's client for Go: a line `ok NAME` for each case.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ollama/ollama/api"
)

type withKey struct{ key string }

func (k withKey) RoundTrip(request *http.Request) (*http.Response, error) {
	request.Header.Set("Authorization", "Bearer "+k.key)
	return http.DefaultTransport.RoundTrip(request)
}

func client(key string) *api.Client {
	base, err := url.Parse(os.Getenv("BATEAU_URL"))
	check(err == nil, err)
	return api.NewClient(base, &http.Client{Transport: withKey{key}})
}

func check(good bool, says ...any) {
	if !good {
		panic(fmt.Sprint(says...))
	}
}

func ask(ctx context.Context, model string, tokens int, stream bool, each func(api.ChatResponse) error) error {
	return client(os.Getenv("BATEAU_KEY")).Chat(ctx, &api.ChatRequest{
		Model: model, Stream: &stream,
		Messages: []api.Message{{Role: "user", Content: "Why is the sky blue?"}},
		Options:  map[string]any{"num_predict": tokens},
	}, each)
}

func status(err error) int {
	var failed api.StatusError
	var refused api.AuthorizationError
	if errors.As(err, &refused) {
		return refused.StatusCode
	}
	if errors.As(err, &failed) {
		return failed.StatusCode
	}
	return 0
}

func main() {
	ctx := context.Background()
	ours := client(os.Getenv("BATEAU_KEY"))
	cases := []struct {
		name string
		run  func()
	}{
		{"heartbeat", func() { check(ours.Heartbeat(ctx) == nil) }},
		{"chat", func() {
			text := ""
			err := ask(ctx, "chat", 8, false, func(one api.ChatResponse) error { text = one.Message.Content; return nil })
			check(err == nil && text != "", err)
		}},
		{"stream", func() {
			pieces, last := 0, api.ChatResponse{}
			err := ask(ctx, "chat", 8, true, func(one api.ChatResponse) error { pieces++; last = one; return nil })
			check(err == nil && pieces > 2 && last.Done && last.EvalCount == 8, err, pieces, last)
		}},
		{"cancel", func() {
			for turn := 0; turn < 4; turn++ {
				inner, stop := context.WithCancel(ctx)
				_ = ask(inner, "chat", 1000, true, func(api.ChatResponse) error { stop(); return nil })
				stop()
			}
			started := time.Now()
			check(ask(ctx, "chat", 8, false, func(api.ChatResponse) error { return nil }) == nil)
			check(time.Since(started) < 20*time.Second, "the answers that were left are still being written")
		}},
		{"unknown_model", func() {
			err := ask(ctx, "nope", 8, true, func(api.ChatResponse) error { return nil })
			check(status(err) == 404 && strings.Contains(err.Error(), "chat"), err)
		}},
		{"wrong_key", func() {
			_, err := client(os.Getenv("BATEAU_WRONG_KEY")).List(ctx)
			check(status(err) == 401, err)
		}},
		{"embeddings", func() {
			found, err := ours.Embed(ctx, &api.EmbedRequest{Model: "embed", Input: []string{"a b", "c d"}})
			check(err == nil && len(found.Embeddings) == 2, err)
		}},
		{"parallel", func() {
			var all sync.WaitGroup
			for turn := 0; turn < 8; turn++ {
				all.Add(1)
				go func() {
					defer all.Done()
					err := ask(ctx, "chat", 8, false, func(api.ChatResponse) error { return nil })
					check(err == nil, err)
				}()
			}
			all.Wait()
		}},
		{"names", func() {
			found, err := ours.List(ctx)
			check(err == nil && len(found.Models) == 4 && found.Models[0].Name == "chat:latest", err, found)
			_, err = ours.ListRunning(ctx)
			check(err == nil, err)
			shown, err := ours.Show(ctx, &api.ShowRequest{Model: "embed"})
			check(err == nil && len(shown.Capabilities) == 1, err, shown)
		}},
	}
	for _, one := range cases {
		one.run()
		fmt.Println("ok " + one.name)
	}
}
