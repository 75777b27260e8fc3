package api

import (
	"testing"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

// A device that is not there yet is listed as a board that its key can be of.
func TestPlatformBeforeTheFirstHello(t *testing.T) {
	b := newBench(t, nil)
	for id, want := range map[string]struct {
		device   store.Device
		platform pdc.Platform
	}{
		"e00fce6800000000000000a1": {store.Device{P256: []byte{1}}, pdc.Boron},
		"0a10aced00000000000000a2": {store.Device{P256: []byte{2}}, pdc.P2},
		"3a00300000000000000000a3": {store.Device{P256: []byte{3}}, pdc.Electron},
		"3a00300000000000000000a4": {store.Device{RSA: []byte{4}}, pdc.Photon},
		"e00fce6800000000000000a5": {store.Device{P256: []byte{5}, Platform: uint16(pdc.Argon)}, pdc.Argon},
	} {
		d := want.device
		d.ID, d.Owner = deviceID(id), aliceID
		b.must(b.store.Do(t.Context(), store.PutDevice(&d)))
		o := b.json("GET", "/v1/devices/"+id, "").decode()
		if o["platform_id"] != float64(want.platform) || o["product_id"] != o["platform_id"] || o["cellular"] != want.platform.Cellular() {
			t.Errorf("%s: platform %v, product %v, cellular %v; want %v", id, o["platform_id"], o["product_id"], o["cellular"], want.platform)
		}
	}
	for text, want := range map[string]uint16{"": 0, "12": 12, "1000": 0, "x": 0, "99999": 0, "0": 0} {
		if got := registeredPlatform(text); got != want {
			t.Errorf("product_id %q: platform %d, want %d", text, got, want)
		}
	}
}
