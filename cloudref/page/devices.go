package page

import (
	"net/http"
	"strings"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/cloudref/traffic"
	"github.com/muster/muster/protocol/pdc"
)

// A device is what the page shows beside what the API tells.
type device struct {
	ID        string `json:"id"`
	Online    bool   `json:"online"`
	Transport string `json:"transport"` // "udp", "tcp", "" without a session
	Board     string `json:"board"`     // "" before its first Hello
	Release   string `json:"release"`   // of Device OS
	Secured   any    `json:"secured"`   // when its session began; null: not known
	Heard     any    `json:"heard"`     // when it was heard last; null: not since the start
}

func (p *page) devices(w http.ResponseWriter, _ *http.Request, a store.AccountID) {
	list := make([]device, 0)
	for _, id := range p.c.Store.DevicesOf(a) {
		st := p.c.Status(id)
		d := device{ID: id.String(), Online: st.Online, Transport: st.Transport, Secured: timestamp(p.c.Traffic.Of(id).Secured)}
		if st.Dialect != (pdc.Dialect{}) {
			d.Board = st.Dialect.Platform.String()
			d.Release = strings.TrimRight(pdc.Release(st.Dialect.System), "+-")
		}
		if st.Heard >= 0 {
			d.Heard = timestamp(p.c.Time(st.Heard))
		}
		list = append(list, d)
	}
	write(w, http.StatusOK, list)
}

func timestamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// record is a traffic.Record as JSON.
func record(r traffic.Record) map[string]any {
	if r.Ledger == nil {
		r.Ledger = []traffic.Row{}
	}
	if r.Lines == nil {
		r.Lines = []traffic.Line{}
	}
	return map[string]any{"secured": timestamp(r.Secured), "ledger": r.Ledger, "lines": r.Lines, "flash": r.Flash}
}

func (p *page) traffic(w http.ResponseWriter, r *http.Request, a store.AccountID) {
	id, ok := p.device(r, a)
	if !ok {
		fail(w, http.StatusNotFound, "no such device")
		return
	}
	write(w, http.StatusOK, record(p.c.Traffic.Of(id)))
}
