package control

import "strconv"

// A Kind says what a request is for (Device OS: ctrl_request_type).
type Kind uint16

// The kinds. Device OS forwards others to the application.
const (
	AppCustom       Kind = 10
	DeviceID        Kind = 20
	SerialNumber    Kind = 21
	SystemVersion   Kind = 30
	Reset           Kind = 40
	FactoryReset    Kind = 41
	EnterDFU        Kind = 50
	EnterSafeMode   Kind = 60
	StartListening  Kind = 70
	StopListening   Kind = 71
	GetMode         Kind = 72
	ModuleInfo      Kind = 90
	Diagnostics     Kind = 100
	SetSecurityKey  Kind = 210
	GetSecurityKey  Kind = 211
	StartUpdate     Kind = 250
	FinishUpdate    Kind = 251
	CancelUpdate    Kind = 252
	UpdateData      Kind = 253
	CloudStatus     Kind = 300
	CloudConnect    Kind = 301
	CloudDisconnect Kind = 302
)

var kindNames = map[Kind]string{
	AppCustom: "application request", DeviceID: "device id", SerialNumber: "serial number", SystemVersion: "system version",
	Reset: "reset", FactoryReset: "factory reset", EnterDFU: "enter DFU mode", EnterSafeMode: "enter safe mode",
	StartListening: "start listening", StopListening: "stop listening", GetMode: "device mode", ModuleInfo: "module info",
	Diagnostics: "diagnostics", SetSecurityKey: "set security key", GetSecurityKey: "get security key",
	StartUpdate: "start firmware update", FinishUpdate: "finish firmware update", CancelUpdate: "cancel firmware update",
	UpdateData: "firmware update data", CloudStatus: "cloud status", CloudConnect: "connect to the cloud", CloudDisconnect: "disconnect from the cloud",
}

// String returns the kind in words, its number when it is unknown.
func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return "request " + strconv.Itoa(int(k))
}

// restarts reports whether the board may leave the bus before its reply is
// fetched, and have done what was asked.
//
// Device OS: it waits one second after the reply, but a board that is busy
// elsewhere, or protected, does not always.
func (k Kind) restarts() bool {
	switch k { //nolint:exhaustive // the others do not restart a board
	case Reset, FactoryReset, EnterDFU, EnterSafeMode:
		return true
	}
	return false
}
