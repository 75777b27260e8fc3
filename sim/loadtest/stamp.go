package loadtest

import (
	"encoding/hex"
	"time"
)

// Events whose data is made up begin with the time at which they were published:
// so whoever receives one knows how long it took. The time is that of this
// machine's clock, in microseconds since 1970, as sixteen hexadecimal digits.
const stampSize = 16

// longestDelivery bounds what is believed of a stamp: clocks of machines differ.
const longestDelivery = time.Hour

// fill makes the data of an event.
func fill(data []byte, now time.Time) {
	for i := range data {
		data[i] = '.'
	}
	if len(data) < stampSize {
		return
	}
	var b [8]byte
	for i, us := 7, uint64(now.UnixMicro()); i >= 0; i, us = i-1, us>>8 {
		b[i] = byte(us)
	}
	hex.Encode(data, b[:])
}

// stampOf returns when an event was published.
func stampOf(data []byte) (time.Time, bool) {
	if len(data) < stampSize || data[0] != '0' {
		return time.Time{}, false
	}
	var b [8]byte
	if _, err := hex.Decode(b[:], data[:stampSize]); err != nil {
		return time.Time{}, false
	}
	us := uint64(0)
	for _, c := range b {
		us = us<<8 | uint64(c)
	}
	return time.UnixMicro(int64(us)), true
}
