package pdc

import (
	"strconv"

	"github.com/muster/muster/protocol/coap"
)

// A SystemError is an error number of Device OS: 0 for success, else negative.
type SystemError int32

// The errors that cross the wire (PDC-6.5 to 6.8, 7.5).
const (
	ErrUnknown            SystemError = -100
	ErrBusy               SystemError = -110
	ErrNotSupported       SystemError = -120
	ErrNotAllowed         SystemError = -130
	ErrCancelled          SystemError = -140
	ErrAborted            SystemError = -150
	ErrTimeout            SystemError = -160
	ErrNotFound           SystemError = -170
	ErrTooLarge           SystemError = -190
	ErrNotEnoughData      SystemError = -191
	ErrInvalidState       SystemError = -210
	ErrFlash              SystemError = -219
	ErrProtocol           SystemError = -240
	ErrInternal           SystemError = -250
	ErrNoMemory           SystemError = -260
	ErrInvalidArgument    SystemError = -270
	ErrBadData            SystemError = -280
	ErrOutOfRange         SystemError = -290
	ErrDeprecated         SystemError = -300
	ErrCoAP               SystemError = -1000
	ErrCoAP4xx            SystemError = -1100
	ErrCoAP5xx            SystemError = -1132
	ErrModuleNotFound     SystemError = -1300
	ErrModuleFunction     SystemError = -1310
	ErrAssetFormat        SystemError = -1320
	ErrIntegrity          SystemError = -1330
	ErrFileHash           SystemError = -1331
	ErrDependency         SystemError = -1340
	ErrAddressRange       SystemError = -1350
	ErrModuleSize         SystemError = -1351
	ErrPlatform           SystemError = -1360
	ErrModuleFormat       SystemError = -1370
	ErrUpdatesDisabled    SystemError = -1380
	systemErrorsWithNames             = 33
)

// systemErrors has one row an error: its name and the response code that it
// becomes (PDC-6.8). Errors that are not here become 5.03.
var systemErrors = [systemErrorsWithNames]struct {
	err  SystemError
	name string
	code coap.Code
}{
	{ErrUnknown, "unknown error", coap.ServiceUnavailable},
	{ErrBusy, "busy", coap.ServiceUnavailable},
	{ErrNotSupported, "not supported", coap.NotImplemented},
	{ErrNotAllowed, "not allowed", coap.Forbidden},
	{ErrCancelled, "cancelled", coap.ServiceUnavailable},
	{ErrAborted, "aborted", coap.ServiceUnavailable},
	{ErrTimeout, "timeout", coap.GatewayTimeout},
	{ErrNotFound, "not found", coap.NotFound},
	{ErrTooLarge, "too large", coap.BadRequest},
	{ErrNotEnoughData, "not enough data", coap.BadRequest},
	{ErrInvalidState, "invalid state", coap.ServiceUnavailable},
	{ErrFlash, "flash error", coap.ServiceUnavailable},
	{ErrProtocol, "protocol error", coap.ServiceUnavailable},
	{ErrInternal, "internal error", coap.InternalError},
	{ErrNoMemory, "no memory", coap.ServiceUnavailable},
	{ErrInvalidArgument, "invalid argument", coap.BadRequest},
	{ErrBadData, "bad data", coap.BadRequest},
	{ErrOutOfRange, "out of range", coap.BadRequest},
	{ErrDeprecated, "deprecated", coap.NotImplemented},
	{ErrCoAP, "CoAP error", coap.BadRequest},
	{ErrCoAP4xx, "CoAP 4.xx response", coap.ServiceUnavailable},
	{ErrCoAP5xx, "CoAP 5.xx response", coap.ServiceUnavailable},
	{ErrModuleNotFound, "no module found", coap.ServiceUnavailable},
	{ErrModuleFunction, "module cannot be updated", coap.ServiceUnavailable},
	{ErrAssetFormat, "bad asset", coap.ServiceUnavailable},
	{ErrIntegrity, "integrity check failed", coap.ServiceUnavailable},
	{ErrFileHash, "file hash differs", coap.ServiceUnavailable},
	{ErrDependency, "dependency check failed", coap.ServiceUnavailable},
	{ErrAddressRange, "address out of range", coap.ServiceUnavailable},
	{ErrModuleSize, "module too large", coap.ServiceUnavailable},
	{ErrPlatform, "wrong platform", coap.ServiceUnavailable},
	{ErrModuleFormat, "bad module format", coap.ServiceUnavailable},
	{ErrUpdatesDisabled, "updates are disabled", coap.ServiceUnavailable},
}

// String returns what the error means and its number.
func (e SystemError) String() string {
	if e == 0 {
		return "success"
	}
	number := strconv.Itoa(int(e))
	for i := range systemErrors {
		if systemErrors[i].err == e {
			return systemErrors[i].name + " (" + number + ")"
		}
	}
	return "system error " + number
}

// Error makes a SystemError an error.
func (e SystemError) Error() string { return "device: " + e.String() }

// Code returns the response code that the error becomes, 2.04 for success.
func (e SystemError) Code() coap.Code {
	if e == 0 {
		return coap.Changed
	}
	for i := range systemErrors {
		if systemErrors[i].err == e {
			return systemErrors[i].code
		}
	}
	return coap.ServiceUnavailable
}
