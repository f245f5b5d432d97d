// Command web is a workload for tests, and the client in such a pod; its image contains no shell and no other program.
//
//	web                 serves on :$PORT (8080): the pod's name, /healthz, /unready and /ready, which change /healthz
//	web get URL         prints the status and the body of an answer; exits with 1 if there is none within 2 s
//	web lookup NAME     prints the addresses of NAME, one per line
//	web cat FILE        prints a file
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

const clientTimeout = 2 * time.Second

func main() {
	if len(os.Args) == 1 {
		log.Fatal(serve())
	}
	if len(os.Args) != 3 {
		log.Fatal("usage: web [get URL | lookup NAME | cat FILE]")
	}
	run, known := map[string]func(string) error{"get": get, "lookup": lookup, "cat": cat}[os.Args[1]]
	if !known {
		log.Fatalf("%s is not a command of web", os.Args[1])
	}
	if err := run(os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func serve() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	var unready atomic.Bool
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) { fmt.Fprintln(answer, name) })
	http.HandleFunc("/unready", func(http.ResponseWriter, *http.Request) { unready.Store(true) })
	http.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) { unready.Store(false) })
	http.HandleFunc("/healthz", func(answer http.ResponseWriter, request *http.Request) {
		if unready.Load() {
			http.Error(answer, "unready", http.StatusServiceUnavailable)
		}
	})
	return http.ListenAndServe(":"+cmp.Or(os.Getenv("PORT"), "8080"), nil)
}

func get(url string) error {
	client := http.Client{Timeout: clientTimeout}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	fmt.Println(answer.StatusCode)
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}

func lookup(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	for _, address := range addresses {
		fmt.Println(address)
	}
	return err
}

func cat(file string) error {
	content, err := os.ReadFile(file)
	if err == nil {
		_, err = os.Stdout.Write(content)
	}
	return err
}
