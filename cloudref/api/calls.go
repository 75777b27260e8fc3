package api

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

// deviceContext bounds how long a request waits for a device.
func (s *Server) deviceContext(q *request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(q.Context(), s.c.DeviceTimeout)
}

// callFunction answers POST /v1/devices/:id/:function. The argument is in arg
// (documents), args (the clients) or params (tools of the first years).
func (s *Server) callFunction(q *request) (any, error) {
	d, err := s.device(q)
	if err != nil {
		return nil, err
	}
	argument := ""
	for _, name := range []string{"arg", "args", "params"} {
		if q.body.has(name) {
			argument = q.body.text(name)
			break
		}
	}
	ctx, cancel := s.deviceContext(q)
	defer cancel()
	name := q.PathValue("function")
	value, err := s.cloud.Call(ctx, d.ID, name, argument)
	switch {
	case hasReason(err, app.NoSuchName):
		return nil, refuse(http.StatusNotFound, "Function %s not found", name)
	case silent(err):
		return nil, refuse(s.c.CallOffline, "Timed out.")
	case err != nil:
		return nil, err
	}
	if q.wantsRaw() {
		return text(strconv.Itoa(int(value))), nil
	}
	return object{
		"id": d.ID.String(), "name": d.Name, "last_app": "", "connected": true, "return_value": value,
	}, nil
}

func (q *request) wantsRaw() bool {
	return q.body.text("format") == "raw" || q.query("format") == "raw"
}

// readVariable answers GET /v1/devices/:id/:variable.
func (s *Server) readVariable(q *request, name string) (any, error) {
	d, err := s.device(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.deviceContext(q)
	defer cancel()
	value, err := s.cloud.Read(ctx, d.ID, name)
	switch {
	case hasReason(err, app.NoSuchName):
		return nil, refuse(http.StatusNotFound, "Unknown Variable: %s", name)
	case silent(err):
		return nil, &failure{http.StatusRequestTimeout, object{"error": "Timed out."}}
	case err != nil:
		return nil, err
	}
	if q.wantsRaw() {
		return text(rawValue(value)), nil
	}
	return object{
		"cmd": "VarReturn", "name": name, "result": native(value), "error": nil, "coreInfo": s.coreInfo(d),
	}, nil
}

// coreInfo is what an answer to a variable says of the device.
func (s *Server) coreInfo(d *store.Device) object {
	st := s.cloud.Status(d.ID)
	handshake, last := s.heard(d, st)
	return object{
		"name": d.Name, "deviceID": d.ID.String(), "connected": true, "last_app": "",
		"last_handshake_at": timestamp(handshake), "last_heard": timestamp(last),
		"product_id": s.platformOf(d, st),
	}
}

// native is a value in the type that JSON has for it. JSON has no word for
// infinity and for what is not a number: they are null, as in JavaScript.
func native(v pdc.Value) any {
	switch v.Type {
	case pdc.VariableBool:
		return v.Bool
	case pdc.VariableInt:
		return v.Int
	case pdc.VariableDouble:
		if math.IsNaN(v.Double) || math.IsInf(v.Double, 0) {
			return nil
		}
		return v.Double
	default:
		return strings.ToValidUTF8(v.String, "\uFFFD")
	}
}

// rawValue is a value as it stands in an answer of nothing else.
func rawValue(v pdc.Value) string {
	if v.Type == pdc.VariableString {
		return v.String
	}
	raw, err := json.Marshal(native(v))
	if err != nil {
		panic("api: encoding a number: " + err.Error())
	}
	return string(raw)
}
