package conformance

import (
	"context"
	"encoding/hex"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/harness/target"
)

// requestsOfAnother are what a device could say to have the cloud ask another one for
// something: the cloud's own requests, and the same with the other's id before or
// behind. They are as the cloud sends them, so that it only has to pass them on.
func requestsOfAnother(id [12]byte) map[string][]byte {
	other := hex.EncodeToString(id[:])
	argument := func(text string) gen.Option { return gen.Option{Number: 15, Value: []byte(text)} }
	post := func(token byte, options ...gen.Option) []byte {
		return gen.CoAP{Type: gen.Confirmable, Code: 2, Token: []byte{token}, Options: options}.Bytes()
	}
	get := func(token byte, options ...gen.Option) []byte {
		return gen.CoAP{Type: gen.Confirmable, Code: 1, Token: []byte{token}, Options: options}.Bytes()
	}
	return map[string][]byte{
		"a function call":                            post(1, append(gen.Path("f", target.FunctionSum), argument("x"))...),
		"a function call behind the other's id":      post(2, append(gen.Path("f", other, target.FunctionSum), argument("x"))...),
		"a function call with the id as argument":    post(3, append(gen.Path("f", target.FunctionSum), argument(other))...),
		"a function call before the other's id":      post(4, append(gen.Path(other, "f", target.FunctionSum), argument("x"))...),
		"a variable request":                         get(5, gen.Path("v", target.VariableCount)...),
		"a variable request behind the other's id":   get(6, gen.Path("v", other, target.VariableCount)...),
		"a describe request":                         get(7, gen.Path("d")...),
		"a signal":                                   gen.CoAP{Type: gen.Confirmable, Code: 3, Token: []byte{8}, Options: append(gen.Path("s"), argument("1"))}.Bytes(),
		"the beginning of an update":                 post(9, gen.Path("U")...),
		"a call as the REST API has it, by its path": post(10, gen.Path("v1", "devices", other, target.FunctionSum)...),
	}
}

func checkBetweenDevices(_ context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	return withForgery(e, g, r, func(w *forgery) error {
		f, err := w.connected()
		if err != nil {
			return err
		}
		other, id, err := w.neighbour()
		if err != nil {
			return err
		}
		for what, message := range inOrder(requestsOfAnother(id)) {
			before := len(other.heard)
			f.tell(message)
			w.expect("S11", "of "+what+" by another device of its account it hears nothing", len(other.heard) == before)
		}
		w.expect("S11", "the device that tried goes on", f.alive())
		w.expect("S11", "the other device goes on", other.alive())
		return nil
	})
}

// neighbour returns another device of the same account that is online, and its id.
func (w *forgery) neighbour() (*forged, [12]byte, error) {
	id, err := w.Neighbour()
	if err != nil {
		return nil, id, err
	}
	f := w.device(w.Home(forgedPort+7), "neighbour")
	if f.Scalar, err = w.NeighbourScalar(); err != nil {
		return nil, id, err
	}
	if err := f.secure(); err != nil {
		return nil, id, err
	}
	return f, id, f.greetAs(id)
}
