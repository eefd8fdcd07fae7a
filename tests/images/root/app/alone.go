// What a service does that runs no other program: threads, the collector, files, HTTP both ways.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
)

func work() (string, error) {
	var wait sync.WaitGroup
	sums := make([]int, 16)
	for i := range sums {
		wait.Add(1)
		go func(sum *int) {
			defer wait.Done()
			runtime.LockOSThread()
			for n := 0; n < 1000000; n++ {
				*sum = (*sum + n*7) % 1009
			}
		}(&sums[i])
	}
	wait.Wait()
	runtime.GC()
	folder, err := os.MkdirTemp("", "app")
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
	read, err := os.ReadFile(folder + "/b")
	if err != nil {
		return "", err
	}
	own, err := http.Get("http://localhost:8080/")
	if err != nil {
		return "", err
	}
	defer own.Body.Close()
	body, err := io.ReadAll(own.Body)
	return fmt.Sprintf("sum %d read %s own %s\n", sums[0], read, body), err
}

func main() {
	http.HandleFunc("/", func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, "ok") })
	http.HandleFunc("/alone", func(out http.ResponseWriter, _ *http.Request) {
		text, err := work()
		fmt.Fprint(out, text)
		if err != nil {
			fmt.Fprintln(out, err)
		}
	})
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() { log.Fatal(http.ListenAndServe(":8080", nil)) }()
	<-end
}
