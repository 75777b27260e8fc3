package pdc

// Limits are the sizes that a device takes, in bytes unless said otherwise.
// Longer ones must not be sent (C-29).
type Limits struct {
	Message       int // largest CoAP message
	EventName     int
	EventData     int
	Name          int // of a function or variable
	Argument      int // of a function call
	VariableValue int // string value of a variable
	Subscriptions int // handlers, the system's own included
	Functions     int // registered, 0 when only the describe's size bounds them
	Variables     int // registered, 0 when only the describe's size bounds them
}

// Limits returns the limits of PDC-0.6 for the device. A MaxMessage below the
// compiled one shrinks event data and variable values by the difference.
func (d Dialect) Limits() Limits {
	l := d.compiledLimits()
	if d.MaxMessage == 0 || int(d.MaxMessage) >= l.Message {
		return l
	}
	cut := l.Message - int(d.MaxMessage)
	l.Message = int(d.MaxMessage)
	l.EventData = max(0, l.EventData-cut)
	l.VariableValue = max(0, l.VariableValue-cut)
	return l
}

func (d Dialect) compiledLimits() Limits {
	l := Limits{Message: d.compiledMessage(), EventName: 64, Name: 64}
	switch {
	case d.System < OS0_8:
		l.EventData, l.Name, l.Argument = 255, 12, 63
		l.VariableValue = l.Message - variableOverhead
	case d.System < OS3_0 && d.Platform == Core:
		l.EventData, l.Name, l.Argument, l.VariableValue = 255, 12, 63, 622
	case d.System < OS3_0:
		l.setData(622)
	case d.System < OS4_0 && !d.Platform.Gen3():
		l.setData(864)
	default:
		l.setData(1024)
	}
	if d.System < OS0_6 {
		l.EventName = 63
	}
	l.Subscriptions = 5
	if d.System >= OS1_2 {
		l.Subscriptions = 6
	}
	switch {
	case d.System < OS0_8:
		l.Functions, l.Variables = 4, 10
	case d.System >= OS3_3:
		l.Functions, l.Variables = 100, 100
	}
	return l
}

// variableOverhead is what a piggybacked variable value has besides the value:
// header, token and payload marker.
const variableOverhead = 4 + 1 + 1

// setData sets what is one limit in the later releases.
func (l *Limits) setData(n int) { l.EventData, l.Argument, l.VariableValue = n, n, n }

// compiledMessage is the largest CoAP message of a build (PDC-0.6).
func (d Dialect) compiledMessage() int {
	gen3 := d.Platform.Gen3()
	switch {
	case d.System < OS0_7:
		return 768
	case d.System < OS2_3:
		return 800
	case d.System < OS3_0:
		// 900 in the default build, 800 on Photon and nRF.
		if d.Platform == Photon || d.Platform == P1 || d.Platform.Generation() == Gen3NRF {
			return 800
		}
		return 900
	case d.System < OS4_0:
		if gen3 {
			return 1152
		}
		return 960
	case gen3 || d.Platform == GCC:
		return 1152
	}
	return 960
}
