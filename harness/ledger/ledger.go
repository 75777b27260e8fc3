package ledger

import (
	"sync"
	"time"

	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// Bounds of what a Ledger keeps open.
const (
	booksMax = 1 << 16
	openMax  = 256
	// settled is how long after its last packet an exchange is over: any
	// retransmission has ended by then.
	settled = 3 * time.Minute
	// quiet is how long connecting may pause before it is over.
	quiet = 10 * time.Second
)

// A Ledger adds packets up. It is safe for concurrent use.
type Ledger struct {
	mu       sync.Mutex
	books    map[uint32]*book // by association
	order    []uint32         // of books, the oldest first
	accounts map[account]*[numPhases]tally
}

// An account is whose costs are added up.
type account struct {
	device    trace.DeviceID
	transport trace.Transport
}

// New returns an empty Ledger.
func New() *Ledger {
	return &Ledger{books: map[uint32]*book{}, accounts: map[account]*[numPhases]tally{}}
}

// A book is what is open of one association.
type book struct {
	account
	handshake occurrence
	complete  bool
	open      map[uint64]*occurrence // by exchange
	opened    []uint64               // in order
	sum       *occurrence            // Connect or ResumeAll of the present connection
	summing   bool                   // more may begin that belongs to it
}

// An occurrence is one time that a phase occurred.
type occurrence struct {
	phase    Phase
	up, down report.Cost
	last     clock.Instant
	data     int         // bytes of the event, of Publish
	sum      *occurrence // that it is a part of
}

func (o *occurrence) add(p *trace.Packet, c report.Cost) {
	side := &o.up
	if p.Direction == trace.Down {
		side = &o.down
	}
	side.Packets += c.Packets
	side.Payload += c.Payload
	side.Headers += c.Headers
	o.last = p.At
}

// Add adds a packet. Packets of one association come in their order. What did not
// arrive where it was looked for is not counted.
func (l *Ledger) Add(p *trace.Packet) {
	if p.Received && p.Lost != "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.book(p)
	cost := report.Cost{Packets: 1, Headers: p.Headers, Payload: p.Rest}
	if len(p.Records) == 0 {
		cost.Payload = p.Size
		b.count(l, p, nil, cost)
	}
	for i := range p.Records {
		cost.Payload += p.Records[i].Size
		b.count(l, p, &p.Records[i], cost)
		cost = report.Cost{}
	}
}

func (l *Ledger) book(p *trace.Packet) *book {
	b := l.books[p.Association]
	if b == nil {
		b = &book{open: map[uint64]*occurrence{}}
		b.handshake.phase = Handshake
		b.begin(Connect)
		b.handshake.sum = b.sum
		l.books[p.Association] = b
		if l.order = append(l.order, p.Association); len(l.order) > booksMax {
			l.books[l.order[0]].close(l)
			delete(l.books, l.order[0])
			l.order = l.order[1:]
		}
	}
	b.transport = p.Transport
	if p.Device != (trace.DeviceID{}) {
		b.device = p.Device
	}
	return b
}

// begin begins to sum a connection up.
func (b *book) begin(ph Phase) {
	b.sum, b.summing = &occurrence{phase: ph}, true
}

// count counts the share of one record in a packet.
func (b *book) count(l *Ledger, p *trace.Packet, r *trace.Record, c report.Cost) {
	o := b.occurrence(l, p, r)
	o.add(p, c)
	if o.sum != nil {
		o.sum.add(p, c)
	}
	if o.phase == Other || o.phase == Probe || o.phase == Closing && (r == nil || r.Message == nil) {
		l.post(b.account, o) // it has no later parts
	}
}

// occurrence returns what a record is a part of.
func (b *book) occurrence(l *Ledger, p *trace.Packet, r *trace.Record) *occurrence {
	switch {
	case r == nil:
	case r.Unit == trace.Probe:
		return &occurrence{phase: Probe}
	case p.Association == 0:
	case r.Unit == trace.Nonce, r.Unit == trace.C1, r.Unit == trace.Answer:
		return &b.handshake
	case r.Unit == trace.DTLS && (r.Epoch == 0 || r.Content == dtls.TypeHandshake && r.State == trace.Opened):
		b.complete = b.complete || r.Epoch > 0 && p.Direction == trace.Down
		return &b.handshake
	case r.Alert != nil:
		return &occurrence{phase: Closing}
	case r.Message != nil:
		b.complete = b.complete || b.handshake.up.Packets > 0
		return b.exchange(l, p, r.Message)
	}
	return &occurrence{phase: Other}
}

// exchange returns the occurrence of a message's exchange.
func (b *book) exchange(l *Ledger, p *trace.Packet, m *trace.Message) *occurrence {
	if o := b.open[m.Exchange]; o != nil {
		return o
	}
	ph := phaseOf(m)
	if ph == Other || m.Of != pdc.KindInvalid || m.Repeat > 0 {
		return &occurrence{phase: Other} // the rest of what is settled
	}
	o := &occurrence{phase: ph, last: p.At}
	if ph == Publish {
		o.data = len(m.CoAP.Payload)
	}
	b.place(l, p, m, o)
	b.settle(l, p.At)
	b.open[m.Exchange] = o
	b.opened = append(b.opened, m.Exchange)
	return o
}

// place finds out whether an occurrence belongs to connecting.
func (b *book) place(l *Ledger, p *trace.Packet, m *trace.Message, o *occurrence) {
	if p.Resume && b.isFirst(p, m) {
		l.post(b.account, b.sum)
		b.begin(ResumeAll)
		switch m.Root {
		case pdc.KindPing:
			o.phase = Resume
		case pdc.KindHello:
			o.phase = ResumeHello
		default: // a resumption by anything else keeps its own phase
		}
	}
	if b.sum.last != 0 && p.At.Sub(b.sum.last) > quiet || !o.phase.connecting() {
		b.summing = false
	}
	if b.summing {
		o.sum = b.sum
	}
}

// isFirst reports whether m is the packet's first message.
func (b *book) isFirst(p *trace.Packet, m *trace.Message) bool {
	for i := range p.Records {
		if first := p.Records[i].Message; first != nil {
			return first == m
		}
	}
	return false
}

// settle posts what is over.
func (b *book) settle(l *Ledger, now clock.Instant) {
	for len(b.opened) > 0 {
		o := b.open[b.opened[0]]
		if len(b.opened) < openMax && now.Sub(o.last) < settled {
			return
		}
		l.post(b.account, o)
		delete(b.open, b.opened[0])
		b.opened = b.opened[1:]
	}
}

// close posts everything that is open.
func (b *book) close(l *Ledger) {
	for _, exchange := range b.opened {
		l.post(b.account, b.open[exchange])
	}
	handshake := b.handshake
	if !b.complete {
		handshake.phase = HandshakeFailed
	}
	l.post(b.account, &handshake)
	if b.sum.phase != Connect || b.complete && b.handshake.up.Packets > 0 {
		l.post(b.account, b.sum)
	}
}

// post adds an occurrence to its account.
func (l *Ledger) post(a account, o *occurrence) {
	if o.up.Packets+o.down.Packets+o.up.Payload+o.down.Payload == 0 {
		return
	}
	t := l.accounts[a]
	if t == nil {
		t = new([numPhases]tally)
		l.accounts[a] = t
	}
	t[o.phase].add(Cost{o.up, o.down}, o.data)
}
