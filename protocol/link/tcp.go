package link

import "github.com/muster/muster/protocol/clock"

// receiveStream takes bytes of the stream, cut at any place. Every violation of
// the framing ends the session.
func (l *Link) receiveStream(now clock.Instant, b []byte, out *Out) {
	err := l.tcp.Receive(now, b, func(message []byte) {
		if l.over {
			return // by a message before it
		}
		// A message is valid during this call, an event until Reset.
		start := len(out.buf)
		out.buf = append(out.buf, message...)
		out.watch(message, -1)
		l.exchange.Receive(now, out.buf[start:len(out.buf):len(out.buf)], &out.coap)
		l.flush(out)
	})
	if err != nil && !l.over {
		l.closed(err, out)
	}
}

// sealFrame makes a frame of message, with its length in front.
func (l *Link) sealFrame(message []byte, out *Out) {
	start := len(out.buf)
	out.buf = l.tcp.Seal(out.buf, message)
	out.push(start)
	out.watch(message, len(out.Packets)-1)
}
