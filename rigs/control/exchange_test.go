package control

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// run drives x over t in virtual time and returns the services asked for.
func run(x *Exchange, t Transport) (asked []service, now clock.Instant) {
	for !x.Done() {
		next, ok := x.Next(now)
		if !ok {
			if x.Done() {
				break
			}
			if x.Deadline() <= now {
				panic("nothing to do, and nothing to wait for")
			}
			now = x.Deadline()
			continue
		}
		data := next.Data
		if next.In() {
			data = make([]byte, next.Length)
		}
		n, err := t.Control(next.Setup, data, 0)
		asked = append(asked, service(next.Request))
		x.Receive(now, data[:n], err)
	}
	return asked, now
}

func echo(r Request) Response { return Response{Payload: r.Payload} }

func TestExchangeSteps(t *testing.T) {
	long := bytes.Repeat([]byte{7}, pooledMax+1)
	for name, test := range map[string]struct {
		board   Responder
		payload []byte
		asked   []service
	}{
		"nothing": {Responder{Handle: echo}, nil, []service{serviceInit, serviceCheck}},
		"short":   {Responder{Handle: echo}, long[:pooledMax], []service{serviceInit, serviceSend, serviceCheck, serviceRecv}},
		"long":    {Responder{Handle: echo}, long, []service{serviceInit, serviceCheck, serviceCheck, serviceSend, serviceCheck, serviceRecv}},
		"slow":    {Responder{Handle: echo, Pending: 2}, nil, []service{serviceInit, serviceCheck, serviceCheck, serviceCheck}},
	} {
		x := NewExchange(AppCustom, test.payload, 0, time.Minute)
		asked, _ := run(x, &test.board)
		reply, err := x.Result()
		if err != nil || !bytes.Equal(reply, test.payload) || !slices.Equal(asked, test.asked) {
			t.Errorf("%s: %x, %v, asked %v, want %v", name, reply, err, asked, test.asked)
		}
		if len(test.board.active) != 0 || x.Deadline() != clock.Never {
			t.Errorf("%s: a place is still taken", name)
		}
	}
}

// TestExchangePolls: a request that takes long is asked for ever less often.
func TestExchangePolls(t *testing.T) {
	x := NewExchange(AppCustom, nil, 0, time.Hour)
	_, now := run(x, &Responder{Handle: echo, Pending: 10})
	if want := clock.Instant(1942+2*1000) * clock.Instant(time.Millisecond); now != want {
		t.Errorf("11 polls took %v, want %v", now, want)
	}
}

// TestExchangeWaitsForMemory: a board that is a little behind with giving memory back
// is asked again, for a request and for its payload; one that has none is believed
// after ten seconds.
func TestExchangeWaitsForMemory(t *testing.T) {
	board := &Responder{Handle: echo, Scant: 3}
	for _, payload := range [][]byte{{1}, {2}, bytes.Repeat([]byte{3}, pooledMax+1)} {
		x := NewExchange(AppCustom, payload, 0, time.Minute)
		_, now := run(x, board)
		if reply, err := x.Result(); err != nil || !bytes.Equal(reply, payload) || now > clock.Instant(time.Second) {
			t.Errorf("%x, %v after %v", reply, err, now)
		}
	}
	none := says(reply{status: statusNoMemory})
	x := NewExchange(AppCustom, make([]byte, 100), 0, time.Minute)
	asked, _ := run(x, &script{answers: []func([]byte) (int, error){
		says(reply{status: statusPending, flags: hasID, id: 9}), none, none,
		says(reply{status: statusPending, flags: hasID, id: 10}), says(reply{}), func([]byte) (int, error) { return 100, nil },
		says(reply{flags: hasResult}),
	}})
	if _, err := x.Result(); err != nil || !slices.Equal(asked, []service{serviceInit, serviceCheck, serviceInit, serviceInit, serviceCheck, serviceSend, serviceCheck}) {
		t.Errorf("memory for a payload that is found later: %v, asked %v", err, asked)
	}
	x = NewExchange(AppCustom, nil, 0, time.Minute)
	_, now := run(x, &script{answers: []func([]byte) (int, error){none}})
	if _, err := x.Result(); !errors.Is(err, ErrNoMemory) || now < clock.Instant(memoryPatience) || now > clock.Instant(2*memoryPatience) {
		t.Errorf("a board without memory: %v after %v", err, now)
	}
}

// script is a board that answers as told, then for ever with the last answer.
type script struct {
	answers []func(data []byte) (int, error)
	setups  []Setup
}

func (s *script) Control(setup Setup, data []byte, _ time.Duration) (int, error) {
	s.setups = append(s.setups, setup)
	answer := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return answer(data)
}

func (s *script) Close() error { return nil }

func says(r reply) func([]byte) (int, error) {
	return func(data []byte) (int, error) { return copy(data, r.bytes()), nil }
}

func fails(err error) func([]byte) (int, error) {
	return func([]byte) (int, error) { return 0, err }
}

func TestExchangeFailures(t *testing.T) {
	admitted := says(reply{flags: hasID, id: 9})
	waits := says(reply{status: statusPending})
	ok := says(reply{})
	for name, test := range map[string]struct {
		kind    Kind
		payload []byte
		answers []func([]byte) (int, error)
		is      error
		says    string
		cancels bool // RESET of our request, last
	}{
		"stall":                {AppCustom, nil, []func([]byte) (int, error){fails(ErrStall)}, ErrStall, "0.8.0", false},
		"gone at once":         {AppCustom, nil, []func([]byte) (int, error){fails(ErrGone)}, ErrGone, "unplugged", false},
		"gone at work":         {AppCustom, nil, []func([]byte) (int, error){admitted, fails(ErrGone)}, ErrGone, "", false},
		"gone before a reset":  {Reset, nil, []func([]byte) (int, error){fails(ErrGone)}, ErrGone, "", false},
		"busy for ever":        {AppCustom, nil, []func([]byte) (int, error){says(reply{status: statusBusy})}, ErrBusy, "another program", false},
		"works for ever":       {AppCustom, nil, []func([]byte) (int, error){admitted, waits}, ErrPending, "its modem keeps", true},
		"deaf at last":         {AppCustom, nil, []func([]byte) (int, error){admitted, waits, fails(ErrSilent)}, ErrSilent, "system thread", true},
		"deaf at work":         {AppCustom, nil, []func([]byte) (int, error){admitted, fails(ErrSilent)}, ErrSilent, "", true},
		"deaf at once":         {AppCustom, nil, []func([]byte) (int, error){fails(ErrSilent)}, ErrSilent, "", false},
		"no memory":            {AppCustom, []byte{1}, []func([]byte) (int, error){says(reply{status: statusPending, flags: hasID, id: 9}), says(reply{status: statusNoMemory})}, ErrNoMemory, "", false},
		"forgotten":            {AppCustom, nil, []func([]byte) (int, error){admitted, says(reply{status: statusNotFound})}, ErrLost, "", false},
		"refused":              {GetSecurityKey, nil, []func([]byte) (int, error){admitted, says(reply{flags: hasResult, result: -120})}, pdc.ErrNotSupported, "does not have this request", false},
		"no id":                {AppCustom, nil, []func([]byte) (int, error){ok}, errProtocol, "new request", false},
		"pending for nothing":  {AppCustom, nil, []func([]byte) (int, error){says(reply{status: statusPending, flags: hasID, id: 9})}, errProtocol, "", false},
		"no result":            {AppCustom, nil, []func([]byte) (int, error){admitted, ok}, errProtocol, "without a result", true},
		"short reply":          {AppCustom, nil, []func([]byte) (int, error){admitted, says(reply{flags: hasResult | hasSize, size: 5}), fails(nil)}, errProtocol, "", true},
		"reply that is huge":   {AppCustom, nil, []func([]byte) (int, error){admitted, says(reply{flags: hasResult | hasSize, size: 1 << 31})}, nil, "4096", true},
		"stall of the payload": {AppCustom, []byte{1}, []func([]byte) (int, error){admitted, fails(ErrStall)}, ErrStall, "", true},
		"empty reply":          {AppCustom, nil, []func([]byte) (int, error){fails(nil)}, errProtocol, "0 bytes", false},
		"unknown status":       {AppCustom, nil, []func([]byte) (int, error){admitted, says(reply{status: 77})}, errProtocol, "status 77", true},
	} {
		board := &script{answers: test.answers}
		x := NewExchange(test.kind, test.payload, 0, time.Minute)
		asked, now := run(x, board)
		reply, err := x.Result()
		if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) || !strings.HasPrefix(err.Error(), test.kind.String()) || reply != nil {
			t.Errorf("%s: %x, %v", name, reply, err)
		}
		last := board.setups[len(board.setups)-1]
		if cancelled := last.Request == uint8(serviceReset) && last.Index == 9; cancelled != test.cancels {
			t.Errorf("%s: asked %v, cancelled: %v", name, asked, cancelled)
		}
		if now > clock.Instant(time.Minute) {
			t.Errorf("%s: took %v", name, now)
		}
	}
}

// TestRestartBeforeTheReply: a board that leaves for what it was told to do did
// it.
func TestRestartBeforeTheReply(t *testing.T) {
	for _, kind := range []Kind{Reset, FactoryReset, EnterDFU, EnterSafeMode} {
		x := NewExchange(kind, nil, 0, time.Minute)
		run(x, &script{answers: []func([]byte) (int, error){says(reply{flags: hasID, id: 1}), fails(ErrGone)}})
		if _, err := x.Result(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestExchangeCancel(t *testing.T) {
	stop := errors.New("stop")
	x := NewExchange(AppCustom, nil, 0, time.Minute)
	x.Cancel(0, stop)
	if _, err := x.Result(); !x.Done() || !errors.Is(err, stop) {
		t.Errorf("before the first transfer: %v", err)
	}
	x = NewExchange(AppCustom, nil, 0, time.Minute)
	setup, _ := x.Next(0)
	if setup.Request != uint8(serviceInit) {
		t.Fatalf("began with %+v", setup)
	}
	x.Receive(0, reply{flags: hasID, id: 5}.bytes(), nil)
	x.Cancel(1, stop)
	x.Cancel(1, errors.New("again"))
	setup, ok := x.Next(1)
	if !ok || setup.Setup != resetSetup(5) {
		t.Fatalf("%+v, %v", setup, ok)
	}
	x.Receive(2, nil, ErrGone)
	if _, err := x.Result(); !errors.Is(err, stop) {
		t.Errorf("the first error is the one to tell: %v", err)
	}
}

// TestResponderPlaces: the fifth request is told to wait, as on a board, and is
// done when a place is free.
func TestResponderPlaces(t *testing.T) {
	board := &Responder{Handle: echo}
	data := make([]byte, ReplySize)
	for range activeMax {
		_, _ = board.Control(initSetup(AppCustom, 0), data, 0)
	}
	x := NewExchange(AppCustom, nil, 0, time.Minute)
	first, _ := x.Next(0)
	n, _ := board.Control(first.Setup, data, 0)
	x.Receive(0, data[:n], nil)
	if x.Done() {
		t.Fatal("a busy board ended the request")
	}
	_, _ = board.Control(resetSetup(0), data, 0)
	run(x, board)
	if _, err := x.Result(); err != nil {
		t.Error(err)
	}
	for name, setup := range map[string]Setup{
		"little room":      {deviceToHost, uint8(serviceInit), 0, 1, ReplySize - 1},
		"unknown":          {deviceToHost, 9, 0, 1, ReplySize},
		"wrong direction":  {hostToDevice, uint8(serviceCheck), 0, 1, ReplySize},
		"recv of nothing":  recvSetup(77, 10),
		"send to nothing":  sendSetup(77, 10),
		"raw without hand": {hostToDevice, uint8(serviceRaw), 0, uint16(Reset), 0},
	} {
		if _, err := board.Control(setup, make([]byte, setup.Length), 0); !errors.Is(err, ErrStall) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDeviceCancelledByContext(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	board := &Responder{Pending: 1 << 30}
	d := New(transportFunc(func(s Setup, data []byte) (int, error) {
		if s.Request == uint8(serviceCheck) {
			stop()
		}
		return board.Control(s, data, 0)
	}), time.Hour)
	if _, err := d.Do(ctx, AppCustom, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if len(board.active) != 0 {
		t.Error("the board still keeps the request")
	}
}

type transportFunc func(Setup, []byte) (int, error)

func (f transportFunc) Control(s Setup, data []byte, _ time.Duration) (int, error) { return f(s, data) }
func (f transportFunc) Close() error                                               { return nil }
