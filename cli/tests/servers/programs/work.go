// What Go programs do: goroutines, channels, timers, HTTP, garbage collection, processes, signals, files.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Numbers through 1,000 goroutines and their channels.
func goroutines() {
	var group sync.WaitGroup
	results := make(chan int, 16)
	for i := 0; i < 1000; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			runtime.Gosched()
			results <- i * i
		}(i)
	}
	go func() { group.Wait(); close(results) }()
	sum := 0
	for result := range results {
		sum += result
	}
	first := make(chan int)
	in := first
	for i := 0; i < 200; i++ {
		out := make(chan int)
		go func(in, out chan int) { out <- 1 + <-in }(in, out)
		in = out
	}
	first <- 0
	fmt.Println("goroutines", sum, <-in)
}

// A loop without calls does not keep the others from running.
func preemption() {
	var stop atomic.Bool
	var turns int64
	old := runtime.GOMAXPROCS(1)
	go func() {
		time.Sleep(10 * time.Millisecond)
		stop.Store(true)
	}()
	for !stop.Load() {
		turns++
	}
	runtime.GOMAXPROCS(old)
	fmt.Println("preempted", turns > 0)
}

func timers() {
	begun := time.Now()
	var order []string
	var lock sync.Mutex
	var group sync.WaitGroup
	for _, ms := range []int{300, 100, 200} {
		group.Add(1)
		ms := ms
		time.AfterFunc(time.Duration(ms)*time.Millisecond, func() {
			defer group.Done()
			lock.Lock()
			order = append(order, fmt.Sprint(ms))
			lock.Unlock()
		})
	}
	group.Wait()
	ticker := time.NewTicker(2 * time.Millisecond)
	for i := 0; i < 10; i++ {
		<-ticker.C
	}
	ticker.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	fmt.Println("timers", order, time.Since(begun) >= 300*time.Millisecond, ctx.Err())
}

func server() {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		check(err)
		w.Header().Set("X-Sum", fmt.Sprintf("%x", sha256.Sum256(body)))
		w.Write(body)
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < 5; i++ {
			fmt.Fprintf(w, "part %d\n", i)
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{Handler: mux}
	go server.Serve(listener)
	base := "http://" + listener.Addr().String()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	var answered atomic.Int64
	var group sync.WaitGroup
	for c := 0; c < 16; c++ {
		group.Add(1)
		go func(c int) {
			defer group.Done()
			for n := 0; n < 25; n++ {
				body := bytes.Repeat([]byte{byte('a' + c)}, 1+n*997)
				response, err := client.Post(base+"/echo", "text/plain", bytes.NewReader(body))
				check(err)
				got, err := io.ReadAll(response.Body)
				check(err)
				response.Body.Close()
				if bytes.Equal(got, body) && response.Header.Get("X-Sum") == fmt.Sprintf("%x", sha256.Sum256(body)) {
					answered.Add(1)
				}
			}
		}(c)
	}
	group.Wait()
	response, err := client.Get(base + "/stream")
	check(err)
	streamed, err := io.ReadAll(response.Body)
	check(err)
	response.Body.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", base+"/slow", nil)
	check(err)
	_, late := client.Do(request)
	check(server.Shutdown(context.Background()))
	_, refused := net.Dial("tcp", listener.Addr().String())
	fmt.Println("http", answered.Load(), len(streamed), errors.Is(late, context.DeadlineExceeded), errors.Is(refused, syscall.ECONNREFUSED))
}

type node struct {
	left, right *node
	data        [32]byte
}

func tree(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{left: tree(depth - 1), right: tree(depth - 1)}
}

func (n *node) count() int {
	if n == nil {
		return 0
	}
	return 1 + n.left.count() + n.right.count()
}

// Garbage from four goroutines, while a tree that lives is kept whole.
func garbage() {
	kept := tree(14)
	var group sync.WaitGroup
	var nodes atomic.Int64
	for i := 0; i < 4; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := 0; n < 40; n++ {
				nodes.Add(int64(tree(10).count()))
			}
		}()
	}
	group.Wait()
	runtime.GC()
	debug.FreeOSMemory()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	fmt.Println("garbage", kept.count(), nodes.Load(), stats.NumGC >= 2, stats.Frees > 100000)
}

func processes() {
	output, err := exec.Command("tr", "a-z", "A-Z").Output()
	check(err)
	shout := exec.Command("tr", "a-z", "A-Z")
	shout.Stdin = strings.NewReader("shout")
	loud, err := shout.Output()
	check(err)
	failed := exec.Command("sh", "-c", "echo wrong >&2; exit 3")
	said, err := failed.CombinedOutput()
	_, missing := exec.LookPath("no-such-program")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	killed := exec.CommandContext(ctx, "sleep", "100").Run()
	fmt.Println("processes", len(output), string(loud), strings.TrimSpace(string(said)), err, missing, killed)
	var group sync.WaitGroup
	statuses := make([]int, 8)
	for i := range statuses {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			var status *exec.ExitError
			if errors.As(exec.Command("sh", "-c", fmt.Sprint("exit ", i)).Run(), &status) {
				statuses[i] = status.ExitCode()
			}
		}(i)
	}
	group.Wait()
	fmt.Println("statuses", statuses)
}

func signals() {
	caught := make(chan os.Signal, 8)
	signal.Notify(caught, syscall.SIGUSR1, syscall.SIGTERM)
	for _, number := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM} {
		check(syscall.Kill(os.Getpid(), number))
		fmt.Println("signal", <-caught)
	}
	signal.Reset()
	defer func() { fmt.Println("recovered", recover()) }()
	var nothing *node
	fmt.Println(nothing.data[3])
}

func files() {
	dir, err := os.MkdirTemp("", "go")
	check(err)
	defer os.RemoveAll(dir)
	for i := 0; i < 20; i++ {
		check(os.MkdirAll(filepath.Join(dir, fmt.Sprint("d", i%3)), 0o755))
		check(os.WriteFile(filepath.Join(dir, fmt.Sprint("d", i%3), fmt.Sprint("f", i)), bytes.Repeat([]byte("x"), i), 0o600))
	}
	var total int64
	var names []string
	check(filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		check(err)
		if !info.IsDir() {
			total += info.Size()
			names = append(names, info.Name())
		}
		return nil
	}))
	sort.Strings(names)
	check(os.Rename(filepath.Join(dir, "d0/f0"), filepath.Join(dir, "d1/moved")))
	_, err = os.Stat(filepath.Join(dir, "d0/f0"))
	text, _ := json.Marshal(map[string]any{"total": total, "names": names[:5], "gone": errors.Is(err, os.ErrNotExist)})
	fmt.Println(string(text))
}

func datagrams() {
	here, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(err)
	there, err := net.Dial("udp", here.LocalAddr().String())
	check(err)
	buffer := make([]byte, 100)
	total := 0
	for i := 0; i < 100; i++ {
		fmt.Fprintf(there, "datagram %d", i)
		n, from, err := here.ReadFrom(buffer)
		check(err)
		_, err = here.WriteTo(buffer[:n], from)
		check(err)
		n, err = there.Read(buffer)
		check(err)
		total += n
	}
	check(here.SetReadDeadline(time.Now().Add(5 * time.Millisecond)))
	_, _, err = here.ReadFrom(buffer)
	fmt.Println("datagrams", total, errors.Is(err, os.ErrDeadlineExceeded))
}

func main() {
	for _, part := range []func(){goroutines, preemption, timers, server, garbage, processes, signals, files, datagrams} {
		part()
	}
	if len(os.Args) > 1 {
		panic("as asked")
	}
	os.Exit(3)
}
