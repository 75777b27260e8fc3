package pdc

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/muster/muster/protocol/coap"
)

// An UpdateDone says that every chunk was sent (PDC-6.2).
type UpdateDone struct {
	Token []byte // one byte
}

// ParseUpdateDone reads an UpdateDone.
func ParseUpdateDone(m coap.Message) (UpdateDone, error) {
	if err := checkRequest(KindUpdateDone, m); err != nil {
		return UpdateDone{}, err
	}
	return UpdateDone{Token: m.Token}, nil
}

// Message returns the message for a device.
func (u UpdateDone) Message(Dialect) coap.Message {
	return request(coap.Confirmable, coap.PUT, "u", u.Token)
}

// An UpdateDoneResponse is the ACK of an [UpdateDone]: 2.04 when the file is
// complete, whether valid or not; 4.00 when chunks are missing, and a
// [ChunkMissed] follows.
type UpdateDoneResponse struct {
	Token    []byte // that of the request
	Complete bool
	// Report is the JSON of a complete update since 0.8, see
	// [ParseUpdateReport].
	Report []byte
}

// ParseUpdateDoneResponse reads an UpdateDoneResponse.
func ParseUpdateDoneResponse(m coap.Message) (UpdateDoneResponse, error) {
	if err := checkResponse(KindUpdateDoneResponse, m, coap.Changed, coap.BadRequest); err != nil {
		return UpdateDoneResponse{}, err
	}
	return UpdateDoneResponse{Token: m.Token, Complete: m.Code == coap.Changed, Report: m.Payload}, nil
}

// Message returns the message of a device of dialect d.
func (r UpdateDoneResponse) Message(d Dialect) coap.Message {
	m := coap.Message{Type: coap.Acknowledgement, Code: coap.BadRequest, Token: r.Token}
	if r.Complete {
		m.Code = coap.Changed
		if d.System >= OS0_8 {
			m.Payload = r.Report
		}
	}
	return m
}

// ParseUpdateReport reads the report of a complete legacy update: its result r
// is "ok" or "error" up to 1.x, then 0 or a system error. "error" is returned
// as [ErrUnknown].
func ParseUpdateReport(report []byte) (SystemError, error) {
	var v struct {
		R json.RawMessage `json:"r"`
	}
	if err := json.Unmarshal(report, &v); err != nil {
		return 0, faultf(KindUpdateDoneResponse, "PDC-6.2", "report is not JSON: %v", err)
	}
	switch r := string(bytes.TrimSpace(v.R)); r {
	case `"ok"`:
		return 0, nil
	case `"error"`:
		return ErrUnknown, nil
	default:
		n, err := strconv.ParseInt(r, 10, 32)
		if err != nil {
			return 0, fault(KindUpdateDoneResponse, "PDC-6.2", "report has no result")
		}
		return SystemError(n), nil
	}
}

// AppendUpdateReport appends the report of a device of dialect d to b. Before
// 0.8 there is none.
func AppendUpdateReport(b []byte, result SystemError, d Dialect) []byte {
	b = append(b, `{"r":`...)
	switch {
	case d.System >= OS2_0:
		b = strconv.AppendInt(b, int64(result), 10)
	case result == 0:
		b = append(b, `"ok"`...)
	default:
		b = append(b, `"error"`...)
	}
	return append(b, '}')
}

// A DeviceUpdateDone ends a fast update from the device's side, up to 0.7
// (PDC-6.2, C-48).
type DeviceUpdateDone struct{}

// ParseDeviceUpdateDone reads a DeviceUpdateDone.
func ParseDeviceUpdateDone(m coap.Message) (DeviceUpdateDone, error) {
	return DeviceUpdateDone{}, check(KindDeviceUpdateDone, m)
}

// Message returns the message of a device of dialect d.
func (DeviceUpdateDone) Message(d Dialect) coap.Message {
	return request(d.con(), coap.PUT, "u", nil)
}
