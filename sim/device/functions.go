package device

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A call is a function that is running.
type call struct {
	token  byte
	result int32
	due    clock.Instant
}

// functionCall acknowledges the call and runs the function; the result follows
// in a message of its own (PDC-5.1). An unknown function has none, ever.
func (d *Device) functionCall(now clock.Instant, e coap.Event, out *Out) error {
	c, tooLong, err := pdc.OnDeviceFunctionCall(e.Wire, d.Dialect())
	if err != nil {
		return err
	}
	if tooLong {
		d.reply(now, e, coap.Message{Type: coap.Acknowledgement, Code: coap.BadRequest}, out)
		if !d.atLeast(pdc.OS0_6) {
			// Device OS: 0.5 runs the function with what the last call left in its
			// buffer; a device that was never called has nothing there.
			c.Argument = ""
		}
	} else {
		d.ack(now, e, out)
	}
	f := d.function(c.Name)
	if f == nil && d.faults().AnswerEverything {
		f = &Function{Call: func(ID, []byte) int32 { return 1 }}
	}
	if f == nil {
		out.event(Event{Kind: Dropped, Name: "call of unknown function " + c.Name})
		return nil
	}
	result := f.Call(d.id, []byte(c.Argument))
	out.event(Event{Kind: FunctionCalled, Name: c.Name, Data: []byte(c.Argument), Value: int64(result)})
	token := append([]byte{0}, c.Token...)
	delay := f.Delay
	if f.Runs != nil {
		var answers bool
		if delay, answers = f.Runs(d.id); !answers {
			return nil
		}
	}
	if delay > 0 {
		w := d.busy()
		w.calls = append(w.calls, call{token: token[len(token)-1], result: result, due: now.Add(delay)})
		return nil
	}
	d.functionResult(now, token[len(token)-1], result, out)
	return nil
}

// function returns the function of that name, nil when there is none.
func (d *Device) function(name string) *Function {
	if app := d.app(); app != nil {
		for i := range app.Functions {
			if app.Functions[i].Name == name {
				return &app.Functions[i]
			}
		}
	}
	return nil
}

func (d *Device) functionResult(now clock.Instant, token byte, result int32, out *Out) {
	if d.faults().NoResult {
		return
	}
	m := pdc.FunctionResult{Token: []byte{token}, Value: result}.Message(d.Dialect())
	d.send(now, m, tagOther, out)
	if d.faults().DoubleResult {
		d.send(now, m, tagOther, out)
	}
}

// finishCalls sends the results of functions that have run, on whatever
// connection there is by then. Without one they are lost.
func (d *Device) finishCalls(now clock.Instant, out *Out) {
	calls := d.work.calls
	d.work.calls = nil
	for _, c := range calls {
		switch {
		case now.Before(c.due):
			d.work.calls = append(d.work.calls, c)
		case d.state == Settling || d.state == Connected:
			d.functionResult(now, c.token, c.result, out)
		default:
			// Nobody to tell.
		}
	}
}
