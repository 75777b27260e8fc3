// Package labfile makes capture files of the recordings of real firmware, for tests of
// whatever reads captures.
package labfile

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/muster/muster/fixtures"
	"github.com/muster/muster/harness/capture"
	"github.com/muster/muster/harness/recording/labtap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/transport"
)

// Addresses of the parties. The device's port is one more after each change.
var (
	Device   = netip.MustParseAddrPort("198.51.100.7:40000")
	CloudUDP = netip.MustParseAddrPort("192.0.2.1:5684")
	CloudTCP = netip.MustParseAddrPort("192.0.2.1:5683")
)

// Start is the time of day at which the recordings begin.
var Start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Sightings are what a tap at the device would have seen of a recording.
func Sightings(c *fixtures.Capture, device, cloud netip.AddrPort) []transport.Sighting {
	all, _ := labtap.Sightings(c, device, cloud)
	return all
}

// Make returns a recording as a pcapng file, from a sighting on, and its secrets as a
// key log.
func Make(c *fixtures.Capture, from int) (pcap, keys []byte, err error) {
	cloud := CloudUDP
	if c.Transport == "tcp" {
		cloud = CloudTCP
	}
	var file, log bytes.Buffer
	w, err := capture.NewPcapWriter(&file, capture.PcapOptions{Start: Start})
	if err != nil {
		return nil, nil, err
	}
	for i, s := range Sightings(c, Device, cloud) {
		if i >= from {
			w.Sight(s)
		}
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	k := capture.NewKeyLog(&log)
	for _, s := range c.Sessions {
		if err := k.Add(capture.Secrets{DTLS: &dtls.Secrets{ClientRandom: [32]byte(s.ClientRandom), Master: [48]byte(s.Master)}}); err != nil {
			return nil, nil, err
		}
	}
	for _, s := range c.Conns {
		if err := k.Add(capture.Secrets{Nonce: s.Nonce, Credentials: lightssl.Credentials(s.Credentials)}); err != nil {
			return nil, nil, err
		}
	}
	return file.Bytes(), log.Bytes(), nil
}
