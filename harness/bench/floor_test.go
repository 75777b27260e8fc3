package bench

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// asymmetric does the public-key operations of one mutual handshake and nothing
// else, each in the cheapest way that the standard library has: two ephemeral
// keys, two agreements, two signatures, two verifications.
func asymmetric() error {
	device, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("ephemeral key: %w", err)
	}
	cloud, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("ephemeral key: %w", err)
	}
	if _, err := device.ECDH(cloud.PublicKey()); err != nil {
		return fmt.Errorf("agreement: %w", err)
	}
	if _, err := cloud.ECDH(device.PublicKey()); err != nil {
		return fmt.Errorf("agreement: %w", err)
	}
	sum := sha256.Sum256([]byte("transcript"))
	for _, key := range []*ecdsa.PrivateKey{deviceKey, cloudKey} {
		signature, err := key.Sign(nil, sum[:], crypto.SHA256) // RFC 6979 is cheaper than a random nonce
		if err != nil {
			return fmt.Errorf("signing: %w", err)
		}
		if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], signature) {
			return errors.New("verification failed")
		}
	}
	return nil
}

// A kernel is a pair of bare UDP sockets: what sending and receiving cost when
// nobody does anything else. One goroutine uses both, so that nobody is woken.
type kernel struct {
	device, cloud     int // descriptors
	toDevice, toCloud unix.Sockaddr
	buf               [2048]byte
}

func newKernel() (*kernel, error) {
	k := &kernel{}
	for _, end := range []struct {
		fd   *int
		addr *unix.Sockaddr
	}{{&k.device, &k.toDevice}, {&k.cloud, &k.toCloud}} {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return nil, fmt.Errorf("socket: %w", err)
		}
		*end.fd = fd
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return nil, fmt.Errorf("bind: %w", err)
		}
		if *end.addr, err = unix.Getsockname(fd); err != nil {
			return nil, fmt.Errorf("getsockname: %w", err)
		}
	}
	return k, nil
}

func (k *kernel) close() { _, _ = unix.Close(k.device), unix.Close(k.cloud) }

// carry brings a datagram of n bytes from one end to the other.
func (k *kernel) carry(up bool, n int) error {
	from, to, addr := k.cloud, k.device, k.toDevice
	if up {
		from, to, addr = k.device, k.cloud, k.toCloud
	}
	if err := unix.Sendto(from, k.buf[:n], 0, addr); err != nil {
		return fmt.Errorf("sendto: %w", err)
	}
	if got, _, err := unix.Recvfrom(to, k.buf[:], 0); err != nil || got != n {
		return fmt.Errorf("recvfrom: %d bytes of %d: %w", got, n, err)
	}
	return nil
}
