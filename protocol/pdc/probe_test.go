package pdc

import (
	"bytes"
	"testing"
)

// The bytes are written by hand from the layout of TRN-5.5.
func TestProbeForms(t *testing.T) {
	for _, test := range []struct {
		name string
		p    Probe
		want []byte
	}{
		{"counter", NewProbe(ProbeCounter, 4, 7, 99, []byte("ab")), []byte("\xfc\xfe\xfd\x80\x04\x00\x00\x00\x07\x00\x00\x00\x02ab")},
		{"timed", NewProbe(ProbeTimed, 5, 0x10002, 0x01020304, []byte("c")), []byte("\xfc\xfe\xfd\x80\x05\x01\x02\x03\x04\x00\x02\x00\x01c")},
	} {
		got := test.p.Append(nil)
		if !bytes.Equal(got, test.want) {
			t.Errorf("%s: got %x, want %x", test.name, got, test.want)
		}
		back, err := ParseProbe(got)
		if err != nil || !bytes.Equal(back.Append(nil), got) || !IsProbe(got) {
			t.Errorf("%s: %+v, %v", test.name, back, err)
		}
	}
	timed, _ := ParseProbe([]byte("\xfc\xfe\xfd\x80\x05\x01\x02\x03\x04\x00\x02\x00\x01c"))
	if timed.Counter(ProbeTimed) != 2 || timed.Milliseconds() != 0x01020304 || timed.Interface != 5 {
		t.Errorf("got %+v", timed)
	}
}

// TestProbeEcho is.
func TestProbeEcho(t *testing.T) {
	good := func(n int) []byte { return NewProbe(ProbeCounter, 1, 1, 0, make([]byte, n-13)).Append(nil) }
	for _, n := range []int{14, 100, 525} {
		if _, err := ParseProbe(good(n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for name, b := range map[string][]byte{
		"empty": nil, "header only": good(13), "too long": good(526), "truncated": good(100)[:99],
		"another type":    append([]byte{23}, good(20)[1:]...),
		"another version": append([]byte{252, 0xfe, 0xff}, good(20)[3:]...),
		"epoch 0x7fff":    append([]byte{252, 0xfe, 0xfd, 0x7f, 0xff}, good(20)[5:]...),
		"trailing byte":   append(good(20), 0),
	} {
		if _, err := ParseProbe(b); err == nil {
			t.Errorf("%s: would be echoed", name)
		}
	}
}

func TestProbeSenders(t *testing.T) {
	for _, test := range []struct {
		d    Dialect
		form ProbeForm
		ok   bool
	}{
		{NewDialect(5501, Boron), 0, false},
		{NewDialect(5800, Boron), ProbeCounter, true},
		{NewDialect(5901, Boron), ProbeTimed, true},
		{NewDialect(6000, P2), ProbeCounter, true},
		{NewDialect(6101, P2), ProbeCounter, true},
		{NewDialect(6200, Boron), ProbeTimed, true},
		{NewDialect(6200, GCC), 0, false},
	} {
		if form, ok := test.d.ProbeForm(); form != test.form || ok != test.ok {
			t.Errorf("%+v: got %v, %v", test.d, form, ok)
		}
	}
	if ProbeMin+ProbeTimed.PayloadMax()-1 > ProbeMax {
		t.Error("the longest probe would not be echoed")
	}
}
