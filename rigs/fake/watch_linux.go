package fake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A watcher hears of what the host does with the files of a bench: terminals
// that it opens and closes, switches that it writes. One serves a whole bench,
// because a system has few of them.
type watcher struct {
	file *os.File
	fd   int

	mu   sync.Mutex
	hear map[int32]func(mask uint32)
	done chan struct{}
}

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fake: watching files: %w", err)
	}
	w := &watcher{fd: fd, file: os.NewFile(uintptr(fd), "inotify"), hear: make(map[int32]func(uint32)), done: make(chan struct{})}
	go w.run()
	return w, nil
}

func (w *watcher) close() error {
	err := w.file.Close()
	<-w.done
	return err
}

// add calls hear for the events of a file, one at a time.
func (w *watcher) add(path string, mask uint32, hear func(mask uint32)) (id int32, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := unix.InotifyAddWatch(w.fd, path, mask)
	if err != nil {
		return 0, fmt.Errorf("fake: watching %s: %w", path, err)
	}
	w.hear[int32(n)] = hear
	return int32(n), nil
}

func (w *watcher) remove(id int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.hear, id)
	_, _ = unix.InotifyRmWatch(w.fd, uint32(id)) // the file may be gone, and its watch with it
}

func (w *watcher) run() {
	defer close(w.done)
	b := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(b)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				panic(fmt.Sprintf("fake: reading inotify: %v", err))
			}
			return
		}
		for rest := b[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			id := int32(binary.NativeEndian.Uint32(rest))
			mask := binary.NativeEndian.Uint32(rest[4:])
			name := int(binary.NativeEndian.Uint32(rest[12:]))
			rest = rest[unix.SizeofInotifyEvent+name:]
			w.mu.Lock()
			hear := w.hear[id]
			w.mu.Unlock()
			if hear != nil {
				hear(mask)
			}
		}
	}
}
