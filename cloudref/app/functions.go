package app

import (
	"fmt"
	"slices"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// Call calls a function of the device. The [Result] with this ref has what it
// returned. Ref must not be 0.
//
// A function that the describe does not list is refused here: the device would
// acknowledge the call and never answer (C-22). So is an argument that the
// device would cut (PDC-5.1). A device that has just connected and not described
// itself yet is given its time to.
func (d *Device) Call(now clock.Instant, ref uint64, name, argument string, out *Out) {
	r := request{ref: ref, kind: pdc.KindFunctionCall, name: d.unsure(name)}
	if failure := d.refuseCall(name, argument); failure != nil {
		d.finish(&r, failure, out)
		return
	}
	token := d.nextToken()
	r.message = pdc.FunctionCall{Token: token, Name: name, Argument: argument}.Message(d.profile.dialect)
	if d.c.Faults.NoArgument && argument == "" {
		r.message.Options = r.message.Options[:len(r.message.Options)-1]
	}
	if failure := d.tooLarge(r.message); failure != nil {
		d.finish(&r, failure, out)
		return
	}
	d.enqueue(now, r, out)
}

func (d *Device) refuseCall(name, argument string) *Failure {
	limits := d.profile.dialect.Limits()
	switch {
	case !d.Ready():
		return d.fail(NotOnline, "")
	case d.unsure(name) == "" && !d.profile.describe.hasFunction(name) && !d.c.Faults.CallUnknown:
		return d.fail(NoSuchName, d.unlisted("function", name))
	case len(argument) > limits.Argument && !d.c.Faults.NoLimits:
		return d.fail(TooLong, fmt.Sprintf("an argument of %d bytes, at most %d", len(argument), limits.Argument))
	default:
		return nil
	}
}

// unsure returns a name that the describe may list when it comes, "" for one that is
// decided.
func (d *Device) unsure(name string) string {
	if d.profile.describe.complete() || d.c.Faults.CallUnknown {
		return ""
	}
	return name
}

// unlisted explains why a name is not called.
func (d *Device) unlisted(what, name string) string {
	return fmt.Sprintf("no %s %q in its describe", what, name)
}

// reconsider decides the requests that waited for the describe.
func (d *Device) reconsider(now clock.Instant, out *Out) {
	if d.work == nil || !d.profile.describe.complete() {
		return
	}
	for i := 0; i < len(d.work.requests); {
		r := &d.work.requests[i]
		name := r.name
		r.name = ""
		var listed bool
		var what string
		switch {
		case name == "":
			i++
			continue
		case r.kind == pdc.KindVariableRequest:
			what = "variable"
			r.known, listed = d.profile.describe.variable(name)
		default:
			what, listed = "function", d.profile.describe.hasFunction(name)
		}
		if listed {
			i++
			continue
		}
		d.complete(i, d.fail(NoSuchName, d.unlisted(what, name)), out)
	}
	d.settle(now, out)
}

func (d *Device) functionResult(m coap.Message) (Result, *Failure) {
	answer, err := pdc.ParseFunctionResult(m)
	if err != nil {
		return Result{}, d.fail(Unusable, err.Error())
	}
	return Result{Int: answer.Value}, nil
}

// Read reads a variable of the device. The [Result] with this ref has its
// value. Ref must not be 0.
func (d *Device) Read(now clock.Instant, ref uint64, name string, out *Out) {
	r := request{ref: ref, kind: pdc.KindVariableRequest, name: d.unsure(name)}
	kind, known := d.profile.describe.variable(name)
	switch {
	case !d.Ready():
		d.finish(&r, d.fail(NotOnline, ""), out)
		return
	case !known && r.name == "" && !d.c.Faults.CallUnknown:
		d.finish(&r, d.fail(NoSuchName, d.unlisted("variable", name)), out)
		return
	}
	r.known = kind
	r.message = pdc.VariableRequest{Token: d.nextToken(), Name: name}.Message(d.profile.dialect)
	d.enqueue(now, r, out)
}

// variableResult checks that the value has the size of its type (C-36).
func (d *Device) variableResult(r *request, m coap.Message) (Result, *Failure) {
	answer, err := pdc.ParseVariableValue(m)
	if err != nil {
		return Result{}, d.fail(Unusable, err.Error())
	}
	if d.c.Faults.Calls.NeedsValue && len(answer.Payload) == 0 {
		return Result{}, d.fail(Unusable, "it has no value")
	}
	if _, err := pdc.DecodeVariable(r.known, answer.Payload); err != nil {
		return Result{}, d.fail(Unusable, err.Error())
	}
	value := append([]byte(nil), answer.Payload...)
	if d.c.Faults.Calls.LittleEndianInt && r.known == pdc.VariableInt {
		slices.Reverse(value)
	}
	if d.c.Faults.BigEndianDouble && r.known == pdc.VariableDouble {
		for i := range 4 {
			value[i], value[7-i] = value[7-i], value[i]
		}
	}
	return Result{Value: value, Type: r.known}, nil
}

// Ping asks the device for a sign of life. It costs a cellular device data.
func (d *Device) Ping(now clock.Instant, ref uint64, out *Out) {
	d.enqueue(now, request{
		ref: ref, kind: pdc.KindPing,
		message: coap.Message{Type: coap.Confirmable},
	}, out)
}

// Signal makes the device's LED shout a rainbow, or stop.
func (d *Device) Signal(now clock.Instant, ref uint64, on bool, out *Out) {
	message := pdc.Signal{Token: d.nextToken(), On: on}.Message(d.profile.dialect)
	d.enqueue(now, request{ref: ref, kind: pdc.KindSignal, message: message}, out)
}

// DiscardSession tells the device to forget its session, so that its next
// connect is a full handshake.
func (d *Device) DiscardSession(now clock.Instant, ref uint64, out *Out) {
	message := pdc.KeyChange{Token: d.nextToken(), Value: pdc.DiscardSession, Reliability: pdc.Confirmed}.Message(d.profile.dialect)
	d.enqueue(now, request{ref: ref, kind: pdc.KindKeyChange, message: message}, out)
}
