// Command relay accepts connections in the network namespace where it is started and forwards each to an address inside
// another one: relay 127.0.0.1:6443 /run/netns/NAME 10.99.0.1:6443. The API server is reachable from the machine's
// loopback through it, and neither a route nor an interface is added to the machine.
package main

import (
	"io"
	"log"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: relay LISTEN NETNS TARGET")
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go forward(client.(*net.TCPConn), os.Args[2], os.Args[3])
	}
}

func forward(client *net.TCPConn, namespace, target string) {
	defer client.Close()
	server, err := dial(namespace, target)
	if err != nil {
		log.Print(err)
		return
	}
	defer server.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		send(server, client)
	}()
	send(client, server)
	<-done
}

// send copies until the end of one direction and passes the end on; the other direction may still have data.
func send(to, from *net.TCPConn) {
	io.Copy(to, from) //nolint:errcheck // a connection that ends is not an error here
	to.CloseWrite()   //nolint:errcheck
}

type dialed struct {
	connection net.Conn
	err        error
}

// dial connects on a thread that has moved into the namespace. The thread is never unlocked, so the runtime ends it with
// its goroutine, and no other goroutine can run in the wrong namespace.
func dial(namespace, target string) (*net.TCPConn, error) {
	result := make(chan dialed)
	go func() {
		runtime.LockOSThread()
		connection, err := dialHere(namespace, target)
		result <- dialed{connection, err}
	}()
	got := <-result
	if got.err != nil {
		return nil, got.err
	}
	return got.connection.(*net.TCPConn), nil
}

func dialHere(namespace, target string) (net.Conn, error) {
	file, err := os.Open(namespace)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	return net.Dial("tcp", target)
}
