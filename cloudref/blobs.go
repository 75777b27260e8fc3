package cloudref

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/muster/muster/protocol/keyblob"
)

// The files that boards are provisioned with.
const (
	fileBlobUDP = "server-udp.der"     // 320 bytes, key and address
	fileBlobTCP = "server-tcp.der"     // 512 bytes, key and address
	filePubUDP  = "server-udp.pub.der" // the key alone
	filePubTCP  = "server-tcp.pub.der"
)

// Addresses of the server key in a board's flash, alternate setting 1 of DFU.
const (
	dfuUDP = 3298
	dfuTCP = 2082
)

// addressFor is the address of the cloud as boards shall know it.
func addressFor(host string, port uint16) (keyblob.Address, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if !addr.Unmap().Is4() || addr.IsUnspecified() {
			return keyblob.Address{}, fmt.Errorf("--host %s: boards take an IPv4 address of this machine, or a name", host)
		}
		return keyblob.Address{IPv4: addr.Unmap().As4(), Port: port}, nil
	}
	if len(host) == 0 || len(host) > keyblob.DomainMax {
		return keyblob.Address{}, fmt.Errorf("--host %q: a name has 1 to %d characters", host, keyblob.DomainMax)
	}
	for _, c := range []byte(host) {
		if c <= ' ' || c > '~' {
			return keyblob.Address{}, fmt.Errorf("--host %q: a name is printable ASCII", host)
		}
	}
	return keyblob.Address{Domain: host, Port: port}, nil
}

// WriteKeyBlobs writes the finished server keys, which tell boards the cloud's key
// and address, to the directory dir, and the plain public keys beside them. host
// is an IPv4 address or a name.
func WriteKeyBlobs(dir, host string, udpPort, tcpPort uint16, udpKey, tcpKey []byte) error {
	udp, err := addressFor(host, udpPort)
	if err != nil {
		return err
	}
	tcp, err := addressFor(host, tcpPort)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, fileBlobUDP), keyblob.Blob{Transport: keyblob.UDP, Key: udpKey, Address: udp}.Append(nil), 0o644),
		os.WriteFile(filepath.Join(dir, fileBlobTCP), keyblob.Blob{Transport: keyblob.TCP, Key: tcpKey, Address: tcp}.Append(nil), 0o644),
		os.WriteFile(filepath.Join(dir, filePubUDP), udpKey, 0o644),
		os.WriteFile(filepath.Join(dir, filePubTCP), tcpKey, 0o644),
	)
}

// dfuLine is the command that writes a blob to a board in DFU mode. The old one
// is worth saving first.
func dfuLine(path string, at int) string {
	return fmt.Sprintf("dfu-util -d 2b04 -a 1 -s %d -D %s", at, path)
}
