package cloudref

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// An answer waits for the readers of its event, and for nobody else's.
func TestOrder(t *testing.T) {
	var x order
	x.init()
	x.wait(t.Context(), "of another node") // at once
	x.begin("api", 0)
	x.begin("device", 7)
	answered := make(chan string)
	for _, call := range []string{"api", "device"} {
		go func() { x.wait(t.Context(), call); answered <- call }()
	}
	x.endOf(6) // had no hooks
	select {
	case call := <-answered:
		t.Fatalf("the answer of %s did not wait", call)
	default:
	}
	x.endOf(7)
	if call := <-answered; call != "device" {
		t.Errorf("%s was answered", call)
	}
	x.end("api")
	if call := <-answered; call != "api" {
		t.Errorf("%s was answered", call)
	}
	x.end("api") // once more does no harm
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	x.begin("given up", 0)
	x.wait(ctx, "given up")
}

// Events that were never stored are forgotten.
func TestOrderIsBounded(t *testing.T) {
	var x order
	x.init()
	for n := range untoldMax {
		x.begin(fmt.Sprint(n), uint64(n+1))
	}
	for id, u := range x.waiting {
		u.since = time.Now().Add(-untoldAge - time.Second)
		x.waiting[id] = u
	}
	x.begin("fresh", 0)
	if len(x.waiting) != 1 || len(x.calls) != 0 {
		t.Errorf("%d and %d are waited for", len(x.waiting), len(x.calls))
	}
}
