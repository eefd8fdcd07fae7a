// A Go server: goroutines that fill threads, the collector, children, files.
package main

import (
	"crypto/sha256"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// threads keeps many system threads busy, which the runtime preempts by SIGURG.
func threads() (string, error) {
	var wait sync.WaitGroup
	sums := make([][32]byte, 64)
	for i := range sums {
		wait.Add(1)
		go func(sum *[32]byte) {
			defer wait.Done()
			runtime.LockOSThread()
			for round := 0; round < 20000; round++ {
				*sum = sha256.Sum256(sum[:])
			}
		}(&sums[i])
	}
	wait.Wait()
	runtime.GC()
	return fmt.Sprint("threads ", len(sums)), nil
}

func children() (string, error) {
	said := 0
	for i := 0; i < 20; i++ {
		child := exec.Command("sh", "-c", "tr a-z A-Z")
		child.Stdin = strings.NewReader("child")
		out, err := child.Output()
		if err != nil {
			return "", err
		}
		said += strings.Count(string(out), "CHILD")
	}
	return fmt.Sprint("children ", said), nil
}

func files() (string, error) {
	folder, err := os.MkdirTemp("", "go")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	if err := os.WriteFile(folder+"/a", []byte("hello"), 0o600); err != nil {
		return "", err
	}
	if err := os.Rename(folder+"/a", folder+"/b"); err != nil {
		return "", err
	}
	content, err := os.ReadFile(folder + "/b")
	return "files " + string(content), err
}

func sockets() (string, error) {
	if _, err := net.LookupHost("localhost"); err != nil {
		return "", err
	}
	answer, err := http.Get("http://127.0.0.1:8080/")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	return fmt.Sprint("sockets ", answer.StatusCode), nil
}

func work(out http.ResponseWriter, _ *http.Request) {
	for _, act := range []func() (string, error){threads, children, files, sockets} {
		text, err := act()
		if err != nil {
			text = err.Error()
		}
		fmt.Fprintln(out, text)
	}
}

func main() {
	http.HandleFunc("/", func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, "ok") })
	http.HandleFunc("/work", work)
	listener, err := net.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening")
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go http.Serve(listener, nil)
	<-end
}
