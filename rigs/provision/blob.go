package provision

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"github.com/muster/muster/protocol/keyblob"
)

// The ports of a cloud, where none is said.
var ports = map[keyblob.Transport]uint16{keyblob.UDP: 5684, keyblob.TCP: 5683}

// ParseHost reads the address of a cloud as boards shall know it: an IPv4 address
// or a name, and a port if it is another one than the transport's.
func ParseHost(host string, t keyblob.Transport) (keyblob.Address, error) {
	var a keyblob.Address
	a.Port = ports[t]
	if name, port, err := net.SplitHostPort(host); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return a, fmt.Errorf("--cloud %s: %q is no port", host, port)
		}
		host, a.Port = name, uint16(n)
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if !addr.Is4() || addr.IsUnspecified() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return a, fmt.Errorf("--cloud %s: a board takes an IPv4 address, or a name; for IPv6 give a name that has one", host)
		}
		a.IPv4 = addr.As4()
		return a, nil
	}
	if len(host) == 0 || len(host) > keyblob.DomainMax {
		return a, fmt.Errorf("--cloud %q: a board takes an IPv4 address, or a name of 1 to %d characters", host, keyblob.DomainMax)
	}
	for _, c := range []byte(host) {
		if c <= ' ' || c > '~' || c == '/' {
			return a, fmt.Errorf("--cloud %q: want a host name or an IPv4 address, and no URL", host)
		}
	}
	a.Domain = host
	return a, nil
}

// LoadServerKey returns the public key of a cloud, SPKI in DER, of the file name:
// DER or PEM, or a finished key blob, whose address is not used. If name is a
// folder it is the data folder of "muster cloud".
func LoadServerKey(name string, t keyblob.Transport) ([]byte, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		file := map[keyblob.Transport]string{keyblob.UDP: "server-udp.pub.der", keyblob.TCP: "server-tcp.pub.der"}[t]
		name = filepath.Join(name, file)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("the cloud's public key: %w: name its file, or the data folder of the cloud, with --server-key (\"muster cloud keys\" writes it)", err)
	}
	if block, _ := pem.Decode(b); block != nil {
		b = block.Bytes
	}
	blob, err := keyblob.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s holds no public key for a board: want RSA-2048 or P-256: %w", name, err)
	}
	if blob.Transport != t {
		return nil, fmt.Errorf("%s holds a key for %s, and the board speaks %s", name, blob.Transport, t)
	}
	return blob.Key, nil
}

// blobFor returns what to write to a region of size bytes.
func blobFor(t keyblob.Transport, spki []byte, a keyblob.Address, size int) []byte {
	b := keyblob.Blob{Transport: t, Key: spki, Address: a}.Append(nil)
	return append(b, bytes.Repeat([]byte{0xff}, max(0, size-len(b)))...)
}
