package control

import "time"

// activeMax is how many requests a board works on at a time.
const activeMax = 4

// pooledMax is the size in bytes of a payload that a board takes at once; for
// longer ones the host waits until memory is found.
const pooledMax = 64

// A Request is one that a board's handler is to do.
type Request struct {
	Kind    Kind
	Payload []byte
}

// A Response is what the handler made of it.
type Response struct {
	Result  int32  // a system error, 0 for success
	Payload []byte // may be empty
	// After, if set, is called once the host has the reply: what restarts a
	// board.
	After func()
}

// A Responder is a board's side of the protocol, for fakes: a Transport whose
// other end is a handler.
//
// Device OS: as system/src/usb_control_request_channel.cpp keeps its requests.
type Responder struct {
	// Handle does a request. It is called at the first CHECK after the payload
	// arrived, so a host that never checks gets nothing done.
	Handle func(Request) Response
	// Raw does a request without the machine; it reports false to refuse.
	Raw func(Kind) bool
	// Pending is how many CHECKs say "pending" before a request is done.
	Pending int
	// Scant is how many requests find no memory after each reply with a payload: the
	// system thread gives back what the last one held, and is a little behind.
	Scant int

	scant  int
	last   uint16
	active []*held
}

type held struct {
	id       uint16
	kind     Kind
	size     int
	payload  []byte
	ready    bool // memory for the payload is there
	complete bool // the payload is
	checks   int
	response *Response
}

// Control implements Transport. It is not safe for two goroutines at once.
func (r *Responder) Control(s Setup, data []byte, _ time.Duration) (int, error) {
	if s.Request == uint8(serviceRaw) {
		if r.Raw == nil || s.In() || !r.Raw(Kind(s.Index)) {
			return 0, ErrStall
		}
		return len(data), nil
	}
	switch isService := service(s.Request); {
	case isService == serviceSend && !s.In():
		return r.send(s.Index, data)
	case !s.In():
		return 0, ErrStall
	case isService == serviceRecv:
		return r.recv(s.Index, data)
	case len(data) < ReplySize:
		return 0, ErrStall
	case isService == serviceInit:
		return copy(data, r.init(s).bytes()), nil
	case isService == serviceCheck:
		return copy(data, r.check(s.Index).bytes()), nil
	case isService == serviceReset:
		return copy(data, r.forget(s.Index).bytes()), nil
	}
	return 0, ErrStall
}

// Close implements Transport: a board forgets nothing when its host goes.
func (r *Responder) Close() error { return nil }

func (r *Responder) init(s Setup) reply {
	if len(r.active) >= activeMax {
		return reply{status: statusBusy}
	}
	if r.scant > 0 {
		r.scant--
		return reply{status: statusNoMemory}
	}
	if r.last++; r.last == 0 {
		r.last = 1
	}
	h := &held{id: r.last, kind: Kind(s.Index), size: int(s.Value)}
	h.ready = h.size <= pooledMax
	h.complete = h.size == 0
	r.active = append(r.active, h)
	answer := reply{flags: hasID, id: h.id}
	if !h.ready {
		answer.status = statusPending
	}
	return answer
}

func (r *Responder) find(id uint16) *held {
	for _, h := range r.active {
		if h.id == id {
			return h
		}
	}
	return nil
}

func (r *Responder) check(id uint16) reply {
	h := r.find(id)
	switch {
	case h == nil:
		return reply{status: statusNotFound}
	case !h.ready:
		h.ready = true // found in the meantime: the next CHECK tells
		return reply{status: statusPending}
	case !h.complete:
		return reply{}
	}
	if h.checks++; h.checks <= r.Pending {
		return reply{status: statusPending}
	}
	if h.response == nil {
		response := r.Handle(Request{h.kind, h.payload})
		h.response = &response
	}
	answer := reply{flags: hasResult, result: h.response.Result}
	if n := len(h.response.Payload); n > 0 {
		answer.flags |= hasSize
		answer.size = uint32(n)
		return answer
	}
	r.finish(h)
	return answer
}

func (r *Responder) send(id uint16, data []byte) (int, error) {
	h := r.find(id)
	if h == nil || !h.ready || h.complete || len(data) != h.size {
		return 0, ErrStall
	}
	h.payload, h.complete = append([]byte(nil), data...), true
	return len(data), nil
}

func (r *Responder) recv(id uint16, data []byte) (int, error) {
	h := r.find(id)
	if h == nil || h.response == nil || len(data) != len(h.response.Payload) {
		return 0, ErrStall
	}
	n := copy(data, h.response.Payload)
	r.scant = r.Scant
	r.finish(h)
	return n, nil
}

// finish frees the place of a request whose reply the host has.
func (r *Responder) finish(h *held) {
	r.drop(h.id)
	if h.response.After != nil {
		h.response.After()
	}
}

// forget frees the place of a request, of all for id 0.
func (r *Responder) forget(id uint16) reply {
	if id == 0 {
		r.active = nil
		return reply{}
	}
	if r.find(id) == nil {
		return reply{status: statusNotFound}
	}
	r.drop(id)
	return reply{}
}

func (r *Responder) drop(id uint16) {
	for i, h := range r.active {
		if h.id == id {
			r.active = append(r.active[:i:i], r.active[i+1:]...)
			return
		}
	}
}
