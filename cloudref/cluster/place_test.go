package cluster

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// Nodes know where the others listen: of one that is silent for an hour, of one that
// left no more.
func TestPlaces(t *testing.T) {
	url := startServer(t)
	handler := &fake{place: Place{Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Ports: []uint16{8080, 9090}}}
	first, second := join(t, url, &fake{}), join(t, url, handler)
	knows := func() bool {
		for addrs, ports := range first.Places() {
			if slices.Equal(addrs, handler.Place().Addrs) && slices.Equal(ports, handler.Place().Ports) {
				return true
			}
		}
		return false
	}
	eventually(t, "the first node knows where the second listens", knows)
	first.forgetSilent(time.Now().Add(2 * silentAfter))
	if !knows() {
		t.Error("a node that may be cut off is forgotten")
	}
	if err := second.Leave(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the place is forgotten", func() bool { return !knows() })

	first.mu.Lock()
	now, id := time.Now(), store.NodeID{3}.String()
	first.notePlace(news{Node: id, Place: &Place{Ports: make([]uint16, placeMax+1)}}, now)
	if len(first.places) != 0 {
		t.Error("a node has any number of ports")
	}
	first.notePlace(news{Node: id, Place: &Place{}}, now)
	first.forgetPlaces(now.Add(placeKept + 1))
	if len(first.places) != 0 {
		t.Error("what is silent for long is remembered")
	}
	first.mu.Unlock()
}

// A node is gone that said so, or that was silent for long while this one could hear it.
func TestGone(t *testing.T) {
	url := startServer(t)
	first, second, third := join(t, url, &fake{}), join(t, url, &fake{}), join(t, url, &fake{})
	eventually(t, "all know one another", func() bool { return first.Nodes() == 3 })
	if first.Gone(first.id) || first.Gone(second.id) {
		t.Error("a node that lives is gone")
	}
	if err := second.Leave(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second node is gone", func() bool { return first.Gone(second.id) })
	third.conn.Close()
	now := time.Now()
	first.forgetSilent(now.Add(2 * silentAfter))
	if first.gone(third.id, first.since.Add(silentAfter)) || !first.gone(third.id, first.since.Add(silentAfter+1)) {
		t.Error("a node is gone that there was no time to hear, or is there though it is silent")
	}
	// Who hears nobody knows nothing.
	first.conn.Close()
	if first.gone(third.id, first.since.Add(time.Hour)) {
		t.Error("a node that cannot be heard is gone")
	}
}
