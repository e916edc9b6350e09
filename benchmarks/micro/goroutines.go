// Go's goroutines and channels on the same workloads, each the way Go programs say it.
// An await is a plain call here, a lock is sync.Mutex, a generator is a goroutine behind a
// channel.  GOMAXPROCS comes from the environment.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

type run struct {
	n       int
	wall    time.Time
	cpu     int64
	mallocs uint64
	figures map[string]any
}

func cpuTime() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

func (r *run) start() {
	r.mallocs = mallocs()
	r.cpu = cpuTime()
	r.wall = time.Now()
}

func (r *run) stop(operations int) {
	wall := time.Since(r.wall).Nanoseconds()
	cpu := cpuTime() - r.cpu
	ops := float64(operations)
	r.figures["ops"] = operations
	r.figures["ns_per_op"] = float64(wall) / ops
	r.figures["cpu_ns_per_op"] = float64(cpu) / ops
	r.figures["allocs_per_op"] = float64(mallocs()-r.mallocs) / ops
}

func resident() int64 {
	text, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

type delays uint64

func (d *delays) next() time.Duration {
	*d = *d*6364136223846793005 + 1442695040888963407
	return time.Duration((uint64(*d)>>33)%1000001) * time.Microsecond
}

var sink int

//go:noinline
func child() int { return 1 }

func awaitChain(r *run) {
	r.start()
	for i := 0; i < r.n; i++ {
		sink += child()
	}
	r.stop(r.n)
}

func descend(depth int) int {
	if depth == 0 {
		return 0
	}
	return 1 + descend(depth-1)
}

func awaitDepth(r *run) {
	r.start()
	for i := 0; i < r.n/1000; i++ {
		sink += descend(1000)
	}
	r.stop(r.n / 1000 * 1000)
}

func spawnJoin(r *run) {
	r.start()
	for i := 0; i < r.n; i++ {
		result := make(chan int, 1)
		go func() { result <- child() }()
		sink += <-result
	}
	r.stop(r.n)
}

func gather(r *run) {
	atOnce := r.n
	if atOnce > 100000 {
		atOnce = 100000
	}
	r.start()
	for round := 0; round < r.n/atOnce; round++ {
		results := make([]int, atOnce)
		var all sync.WaitGroup
		all.Add(atOnce)
		for i := range results {
			i := i
			go func() { results[i] = child(); all.Done() }()
		}
		all.Wait()
	}
	r.stop(r.n / atOnce * atOnce)
}

func yieldTasks(count int) func(*run) {
	return func(r *run) {
		r.start()
		var all sync.WaitGroup
		all.Add(count)
		for t := 0; t < count; t++ {
			go func() {
				for i := 0; i < r.n/count; i++ {
					runtime.Gosched()
				}
				all.Done()
			}()
		}
		all.Wait()
		r.stop(r.n / count * count)
	}
}

func timers(r *run) {
	d := delays(42)
	r.start()
	var all sync.WaitGroup
	all.Add(r.n)
	for i := 0; i < r.n; i++ {
		delay := d.next()
		go func() { time.Sleep(delay); all.Done() }()
	}
	all.Wait()
	r.stop(r.n)
}

func sleepers(r *run) {
	before := resident()
	r.start()
	for i := 0; i < r.n; i++ {
		go func() { time.Sleep(time.Hour) }()
	}
	runtime.Gosched()
	time.Sleep(time.Millisecond)
	r.stop(r.n)
	r.figures["bytes_per_task"] = float64(resident()-before) / float64(r.n)
}

func timerCancel(r *run) {
	r.start()
	for i := 0; i < r.n; i++ {
		time.NewTimer(10*time.Second + time.Duration(i%1000)*time.Microsecond).Stop()
		if i%1000 == 999 {
			runtime.Gosched()
		}
	}
	r.stop(r.n)
}

func waitFor(r *run) {
	r.start()
	for i := 0; i < r.n; i++ {
		done := make(chan struct{})
		go func() { runtime.Gosched(); close(done) }()
		timer := time.NewTimer(10 * time.Second)
		select {
		case <-done:
			timer.Stop()
		case <-timer.C:
			panic("timed out")
		}
	}
	r.stop(r.n)
}

func queue(capacity int) func(*run) {
	return func(r *run) {
		q := make(chan int, capacity)
		r.start()
		go func() {
			for i := 0; i < r.n; i++ {
				q <- i
			}
		}()
		for i := 0; i < r.n; i++ {
			sink += <-q
		}
		r.stop(r.n)
	}
}

func lock(r *run) {
	var l sync.Mutex
	r.start()
	for i := 0; i < r.n; i++ {
		l.Lock()
		l.Unlock()
	}
	r.stop(r.n)
}

func lockHandoff(r *run) {
	var l sync.Mutex
	var all sync.WaitGroup
	all.Add(2)
	r.start()
	for t := 0; t < 2; t++ {
		go func() {
			for i := 0; i < r.n/2; i++ {
				l.Lock()
				runtime.Gosched()
				l.Unlock()
			}
			all.Done()
		}()
	}
	all.Wait()
	r.stop(r.n / 2 * 2)
}

func eventPingpong(r *run) {
	ping, pong := make(chan struct{}), make(chan struct{})
	done := make(chan struct{})
	r.start()
	go func() {
		for i := 0; i < r.n/2; i++ {
			<-ping
			pong <- struct{}{}
		}
		close(done)
	}()
	for i := 0; i < r.n/2; i++ {
		ping <- struct{}{}
		<-pong
	}
	<-done
	r.stop(r.n / 2 * 2)
}

// A callback that posts the next one: a goroutine that starts the next.
func callSoon(chains int) func(*run) {
	return func(r *run) {
		left := r.n // one processor: no race
		done := make(chan struct{})
		var again func()
		again = func() {
			left--
			if left > 0 {
				go again()
			} else if left == 0 {
				close(done)
			}
		}
		r.start()
		for i := 0; i < chains; i++ {
			go again()
		}
		<-done
		r.stop(r.n)
	}
}

// Wants GOMAXPROCS=2: the sender keeps a thread of its own.
func callSoonThreadsafe(r *run) {
	q := make(chan func(), 1024)
	r.start()
	go func() {
		runtime.LockOSThread()
		for i := 0; i < r.n; i++ {
			q <- func() { sink++ }
		}
		close(q)
	}()
	for f := range q {
		f()
	}
	r.stop(r.n)
}

func consume(r *run, make_ func(int) chan int) {
	r.start()
	for i := range make_(r.n) {
		sink += i
	}
	r.stop(r.n)
}

func count(n int) chan int {
	items := make(chan int)
	go func() {
		for i := 0; i < n; i++ {
			items <- i
		}
		close(items)
	}()
	return items
}

func countYielding(n int) chan int {
	items := make(chan int)
	go func() {
		for i := 0; i < n; i++ {
			runtime.Gosched()
			items <- i
		}
		close(items)
	}()
	return items
}

func cancel(r *run) {
	r.start()
	for i := 0; i < r.n; i++ {
		stop, done := make(chan struct{}), make(chan bool, 1)
		go func() {
			timer := time.NewTimer(time.Hour)
			select {
			case <-timer.C:
				done <- true
			case <-stop:
				timer.Stop()
				done <- false
			}
		}()
		runtime.Gosched()
		close(stop)
		if <-done {
			panic("not cancelled")
		}
	}
	r.stop(r.n)
}

func handOver(r *run) {
	sum := 0
	r.start()
	for i := 0; i < r.n; i++ {
		future := make(chan int, 1)
		go func() { future <- 1 }()
		sum += <-future
	}
	r.stop(r.n)
	runtime.KeepAlive(sum)
}

func main() {
	workloads := map[string]func(*run){
		"await_chain":          awaitChain,
		"await_depth":          awaitDepth,
		"spawn_join":           spawnJoin,
		"gather":               gather,
		"yield_2":              yieldTasks(2),
		"yield_1000":           yieldTasks(1000),
		"timers":               timers,
		"sleepers":             sleepers,
		"timer_cancel":         timerCancel,
		"wait_for":             waitFor,
		"queue_1":              queue(1),
		"queue_1024":           queue(1024),
		"lock":                 lock,
		"lock_handoff":         lockHandoff,
		"event_pingpong":       eventPingpong,
		"hand_over":            handOver,
		"call_soon":            callSoon(1),
		"call_soon_1000":       callSoon(1000),
		"call_soon_threadsafe": callSoonThreadsafe,
		"async_gen":            func(r *run) { consume(r, count) },
		"async_gen_yield":      func(r *run) { consume(r, countYielding) },
		"cancel":               cancel,
	}
	if len(os.Args) > 1 && os.Args[1] == "--list" {
		for name := range workloads {
			fmt.Println(name)
		}
		return
	}
	if len(os.Args) < 2 || workloads[os.Args[1]] == nil {
		os.Exit(3)
	}
	r := &run{n: 1000000, figures: map[string]any{"peer": "go", "workload": os.Args[1]}}
	if len(os.Args) > 2 {
		r.n, _ = strconv.Atoi(os.Args[2])
	}
	workloads[os.Args[1]](r)
	line, _ := json.Marshal(r.figures)
	fmt.Println(string(line))
}
