package cloudref

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A watcher registers the devices whose public keys lie in the folder "devices" of
// the data directory as <id>.pub.pem, when they appear or change. It never
// replaces a key and never removes a device.
type watcher struct {
	desk *desk
	dir  string
	log  *slog.Logger
	seen map[string]time.Time // modification time by name
}

const (
	watchEvery  = 2 * time.Second
	watchSuffix = ".pub.pem"
)

func newWatcher(c *Cloud, log *slog.Logger) *watcher {
	return &watcher{
		desk: &desk{store: c.store, node: c.node}, dir: filepath.Join(c.o.Dir, "devices"),
		log: log, seen: make(map[string]time.Time),
	}
}

// run looks until ctx is done.
func (w *watcher) run(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		w.look(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
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
		w.seen[e.Name()] = info.ModTime()
		if err := w.register(ctx, id, filepath.Join(w.dir, e.Name())); err != nil {
			w.log.Warn("a device of the folder is not registered", "file", e.Name(), "reason", err)
		}
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
	added, err := w.desk.register(ctx, d, false)
	if err == nil {
		w.log.Info("registered", "device", added.ID, "for", transports(added))
	}
	return err
}
