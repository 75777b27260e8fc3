package udp

import (
	"fmt"
	"net/netip"
)

// The loopback network is 127.0.0.0/8. Devices live above 127.1.0.0, out of the
// way of what a machine runs on 127.0.0.1 and its neighbours.
const (
	loopbackFirst = 127<<24 | 1<<16
	loopbackLast  = 127<<24 | 0xfffffe // 127.255.255.255 is the broadcast address
)

// LoopbackCount is how many addresses Loopback has: 16,711,679.
const LoopbackCount = loopbackLast - loopbackFirst + 1

// Loopback returns the loopback address of device i, from 127.1.0.0 to
// 127.255.255.254. It panics unless 0 <= i < LoopbackCount.
func Loopback(i int) netip.Addr {
	if i < 0 || i >= LoopbackCount {
		panic(fmt.Sprintf("udp: no loopback address for device %d", i))
	}
	a := uint32(loopbackFirst + i)
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

// LoopbackIndex is the inverse of Loopback; ok is false when a is none of its
// addresses.
func LoopbackIndex(a netip.Addr) (i int, ok bool) {
	if !a.Is4() {
		return 0, false
	}
	b := a.As4()
	i = (int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])) - loopbackFirst
	return i, i >= 0 && i < LoopbackCount
}
