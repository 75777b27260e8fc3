package page

import (
	"bytes"
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/cloudref/traffic"
	"github.com/muster/muster/protocol/clock"
)

// Config is what the page needs.
type Config struct {
	// Account returns whose token a request carries, and false without a good one.
	Account func(r *http.Request) (store.AccountID, bool)
	// Store knows whose device is whose.
	Store *store.Store
	// Status returns what the cloud knows of a device right now.
	Status func(id store.DeviceID) endpoint.Status
	// Time returns the time of day at an Instant of this run.
	Time func(at clock.Instant) time.Time
	// Traffic remembers what devices say.
	Traffic *traffic.Recorder
	// Reader takes a place among the streams for an account, and false if it or all have
	// too many; leave gives it back.
	Reader func(a store.AccountID) (leave func(), ok bool)
	// Closing is closed when the server is shut down: streams end.
	Closing <-chan struct{}
}

//go:embed static
var static embed.FS

// policy lets the page load nothing from elsewhere and run nothing that is not a
// file of its own.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler returns the page over rest, which answers everything else.
func Handler(c Config, rest http.Handler) http.Handler {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic("page: " + err.Error()) // the folder is in the program
	}
	p := &page{c: c}
	assets := http.StripPrefix("/muster/assets/", http.FileServerFS(files))
	mux := http.NewServeMux()
	mux.Handle("GET /muster/assets/{file}", hardened(assets))
	mux.HandleFunc("GET /muster/devices", p.owned(p.devices))
	mux.HandleFunc("GET /muster/devices/{device}/traffic", p.owned(p.traffic))
	mux.HandleFunc("GET /muster/devices/{device}/watch", p.owned(p.watch))
	index, err := fs.ReadFile(files, "index.html")
	if err != nil {
		panic("page: " + err.Error())
	}
	mux.Handle("GET /{$}", hardened(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "index.html", time.Time{}, bytes.NewReader(index))
	})))
	mux.Handle("/", rest)
	return mux
}

func hardened(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-cache") // the program may be another one tomorrow
		h.ServeHTTP(w, r)
	})
}

type page struct{ c Config }

// owned serves h to whoever has a good token.
func (p *page) owned(h func(w http.ResponseWriter, r *http.Request, a store.AccountID)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		a, ok := p.c.Account(r)
		if !ok {
			fail(w, http.StatusUnauthorized, "invalid_token")
			return
		}
		h(w, r, a)
	}
}

// device returns the device that a request names, if it is the account's. Devices
// of others and devices that do not exist look alike.
func (p *page) device(r *http.Request, a store.AccountID) (store.DeviceID, bool) {
	id, err := store.ParseDeviceID(strings.ToLower(r.PathValue("device")))
	if err != nil {
		return id, false
	}
	identity, known := p.c.Store.Identity(id)
	return id, known && identity.Owner == a
}

func fail(w http.ResponseWriter, status int, what string) {
	write(w, status, map[string]any{"ok": false, "error": what})
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the reader is gone: nobody to tell
}
