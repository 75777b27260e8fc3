package dtls

// windowSize is the number of sequences that a replay window remembers
// (RFC 6347 Section 4.1.2.6).
const windowSize = 64

// A window is a replay window. The zero value has seen nothing.
type window struct {
	top  uint64 // highest sequence seen
	seen uint64 // bit i: top - i was seen
	gap  uint16 // so many sequences above top were perhaps seen
}

// fresh reports whether sequence was not seen and is not too old. Bounded to
// width, at most windowSize.
func (w *window) fresh(sequence uint64, width uint64) bool {
	if sequence > w.top {
		return true
	}
	age := w.top - sequence
	return age < width && w.seen>>age&1 == 0
}

// mark notes that sequence was seen, and reports whether it is newer than all
// others. Only an authenticated record may be noted.
func (w *window) mark(sequence uint64) (newest bool) {
	if sequence > w.top || sequence == w.top && w.seen == 0 {
		step := sequence - w.top
		w.seen = w.seen<<min(step, windowSize) | 1
		if w.gap > 0 {
			w.seen = ^uint64(0)
			w.gap -= uint16(min(step, uint64(w.gap)))
		}
		w.top = sequence
		return true
	}
	if age := w.top - sequence; age < windowSize {
		w.seen |= 1 << age
	}
	return false
}
