package cloudref

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/muster/muster/cloudref/store"
)

// watchFolder is the folder in the data directory where keys are looked for.
const watchFolder = "devices"

// A watcher registers the devices whose public keys lie in the folder "devices" of
// the data directory as <id>.pub.pem, when they appear or change. It never
// replaces a key and never removes a device.
type watcher struct {
	desk  *desk
	dir   string
	log   *slog.Logger
	every time.Duration
	seen  map[string]time.Time // modification time by name
}

const (
	// watchEvery is how often the folder is looked at where the system tells nothing
	// of changes, or too much to follow.
	watchEvery = 2 * time.Second
	// watchSettled is how old a file is that is certainly complete.
	watchSettled = time.Second
	watchSuffix  = ".pub.pem"
)

func newWatcher(c *Cloud, log *slog.Logger) *watcher {
	return &watcher{
		desk: &desk{store: c.store, node: c.node}, dir: filepath.Join(c.o.Dir, watchFolder),
		log: log, every: watchEvery, seen: make(map[string]time.Time),
	}
}

// run looks until ctx is done: when something changes, and now and then.
func (w *watcher) run(ctx context.Context) {
	ticker := time.NewTicker(w.every)
	defer ticker.Stop()
	var changed <-chan fsnotify.Event
	var failed <-chan error // must be read, or the events stop
	if told, err := fsnotify.NewWatcher(); err == nil {
		defer told.Close()
		if told.Add(w.dir) == nil {
			changed, failed = told.Events, told.Errors
		}
	}
	for {
		drain(changed)
		w.look(ctx)
		select {
		case <-changed:
		case <-failed:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// drain takes what there is of events: one look at the folder sees it all.
func drain(changed <-chan fsnotify.Event) {
	for {
		select {
		case <-changed:
		default:
			return
		}
	}
}

func (w *watcher) look(ctx context.Context) {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return // no folder: nobody uses it
	}
	for _, e := range entries {
		id, fits := strings.CutSuffix(e.Name(), watchSuffix)
		info, err := e.Info()
		if !fits || err != nil || w.seen[e.Name()].Equal(info.ModTime()) {
			continue
		}
		if err := w.register(ctx, id, filepath.Join(w.dir, e.Name())); err != nil {
			if time.Since(info.ModTime()) < watchSettled {
				continue // it may not be complete yet
			}
			w.log.Warn("a device of the folder is not registered", "file", e.Name(), "reason", err)
		}
		w.seen[e.Name()] = info.ModTime()
	}
}

func (w *watcher) register(ctx context.Context, id, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	d := deskDevice{ID: id}
	if d.P256, d.RSA, err = ParseDeviceKey(b); err != nil {
		return err
	}
	known, err := w.desk.knows(ctx, d)
	if known || err != nil {
		return err
	}
	added, err := w.desk.register(ctx, d, false)
	if err == nil {
		w.log.Info("registered", "device", added.ID, "for", transports(added))
	}
	return err
}

// knows reports whether a device is registered with the keys of in. What else is known
// of it, such as that nobody owns it any more, stays as it is.
func (d *desk) knows(ctx context.Context, in deskDevice) (bool, error) {
	id, err := store.ParseDeviceID(in.ID)
	if err != nil {
		return false, nil // register says what is wrong
	}
	record, err := d.store.Device(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	same := func(have, want []byte) bool { return want == nil || bytes.Equal(have, want) }
	return err == nil && same(record.P256, in.P256) && same(record.RSA, in.RSA), err
}

// removedSuffix is put behind the name of a key file whose device was removed: it would
// be registered again.
const removedSuffix = ".removed"

// setAside takes the key of a device out of a folder of keys.
func setAside(folder string, id store.DeviceID) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil //nolint:nilerr // no folder: nobody uses it
	}
	for _, e := range entries {
		if strings.EqualFold(e.Name(), id.String()+watchSuffix) {
			file := filepath.Join(folder, e.Name())
			err = errors.Join(err, os.Rename(file, file+removedSuffix))
		}
	}
	return err
}
