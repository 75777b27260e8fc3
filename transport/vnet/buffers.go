package vnet

// bufferSizes are the capacities of the buffers that packets travel in: a ping,
// a short record, a full datagram, anything.
var bufferSizes = [...]int{128, 512, 2048, 65536}

// buffers keeps the buffers of delivered packets for the next ones.
type buffers struct{ free [len(bufferSizes)][][]byte }

// copy returns a copy of b in a buffer of its own.
func (p *buffers) copy(b []byte) []byte {
	for class, size := range bufferSizes {
		if len(b) > size {
			continue
		}
		if n := len(p.free[class]); n > 0 {
			buf := p.free[class][n-1]
			p.free[class] = p.free[class][:n-1]
			return append(buf, b...)
		}
		return append(make([]byte, 0, size), b...)
	}
	return append([]byte(nil), b...)
}

// release gives a buffer back. One that a hook has put in the place of ours is
// left to the garbage collector, unless it has a size of ours.
func (p *buffers) release(b []byte) {
	for class, size := range bufferSizes {
		if cap(b) == size {
			p.free[class] = append(p.free[class], b[:0])
			return
		}
	}
}
