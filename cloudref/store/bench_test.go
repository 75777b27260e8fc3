package store

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// benchDevices puts n devices into a store, and sessions if asked.
func benchDevices(b *testing.B, s *Store, n int, sessions bool) {
	b.Helper()
	var all sync.WaitGroup
	put := func(op Op) {
		all.Add(1)
		for {
			err := make(chan error, 1)
			s.Write([]Op{op}, func(e error) {
				if e == nil {
					all.Done()
				}
				err <- e
			})
			select {
			case e := <-err:
				if e == nil {
					return
				}
				time.Sleep(time.Millisecond) // ErrBusy
			default:
				return
			}
		}
	}
	for i := range n {
		put(PutDevice(device(i)))
	}
	all.Wait()
	if !sessions {
		return
	}
	for i := range n {
		put(PutSession(benchSession(i)))
		if i%2 == 0 {
			put(Reserve(Progress{Device: deviceID(i), CID: cidOf(i), Reserved: 128}))
		}
	}
	all.Wait()
}

func benchSession(i int) *Session {
	s := session(i)
	s.Record = make([]byte, 240)
	return s
}

// benchWrites measures writes of one kind, pipelined.
func benchWrites(b *testing.B, s *Store, op func(i int) Op) {
	const pipeline = 2000
	tokens := make(chan struct{}, pipeline)
	var failed error
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		tokens <- struct{}{}
		s.Write([]Op{op(i)}, func(err error) {
			if err != nil {
				failed = err
			}
			<-tokens
		})
	}
	for range pipeline {
		tokens <- struct{}{}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
	if failed != nil {
		b.Fatal(failed)
	}
}

func BenchmarkWrite(b *testing.B) {
	const devices = 10_000
	for _, place := range []string{"memory", "directory"} {
		for _, kind := range []struct {
			name string
			op   func(i int) Op
		}{
			{"reserve", func(i int) Op {
				return Reserve(Progress{Device: deviceID(i % devices), CID: cidOf(1), Reserved: uint64(i)})
			}},
			{"session", func(i int) Op { return PutSession(benchSession(i % devices)) }},
			{"event", func(i int) Op {
				return Append(Event{Account: alice, Device: deviceID(i % devices), Body: make([]byte, 100)})
			}},
			{"app-1KiB", func(i int) Op { return PutApp(deviceID(i%devices), 0, make([]byte, 1024)) }},
		} {
			b.Run(kind.name+"/"+place, func(b *testing.B) {
				s := NewMemory()
				if place == "directory" {
					s = mustOpen(b, Config{Dir: b.TempDir()})
				}
				defer s.Close()
				benchDevices(b, s, devices, false)
				benchWrites(b, s, kind.op)
			})
		}
	}
}

// BenchmarkWriteAlone measures one write at a time: the wait of a device.
func BenchmarkWriteAlone(b *testing.B) {
	for _, always := range []bool{false, true} {
		b.Run(fmt.Sprintf("sync-always=%v", always), func(b *testing.B) {
			s := mustOpen(b, Config{Dir: b.TempDir(), SyncAlways: always})
			defer s.Close()
			for i := 0; b.Loop(); i++ {
				if err := s.Do(context.Background(), Reserve(Progress{Reserved: uint64(i)})); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWriteSyncAlways(b *testing.B) {
	s := mustOpen(b, Config{Dir: b.TempDir(), SyncAlways: true})
	defer s.Close()
	benchWrites(b, s, func(i int) Op { return Reserve(Progress{Device: deviceID(i % 1000), Reserved: uint64(i)}) })
}

// BenchmarkOpen measures a start: of a new directory, and of one with n
// devices, their sessions and half as many reservations.
func BenchmarkOpen(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			s := mustOpen(b, Config{Dir: b.TempDir()})
			b.StopTimer()
			s.Close()
			b.StartTimer()
		}
	})
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			s := mustOpen(b, Config{Dir: dir})
			benchDevices(b, s, n, true)
			s.Close()
			var open, load time.Duration
			for b.Loop() {
				start := time.Now()
				s := mustOpen(b, Config{Dir: dir})
				open += time.Since(start)
				start = time.Now()
				count := 0
				for _, err := range s.Sessions(context.Background()) {
					if err != nil {
						b.Fatal(err)
					}
					count++
				}
				load += time.Since(start)
				if count != n {
					b.Fatalf("got %d sessions, want %d; report %+v", count, n, s.Report())
				}
				b.StopTimer()
				s.Close()
				b.StartTimer()
			}
			b.ReportMetric(open.Seconds()*1e3/float64(b.N), "ms/open")
			b.ReportMetric(load.Seconds()*1e3/float64(b.N), "ms/sessions")
		})
	}
}
