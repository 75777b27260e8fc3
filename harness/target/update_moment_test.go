package target

import "testing"

func TestUpdateMoments(t *testing.T) {
	for _, test := range []struct {
		text        string // "": the usual one
		size, chunk int
		want        string // "": an error
	}{
		{"", 48_000, 1024, "after chunk 17 is acknowledged"},
		{"", 9_000, 1024, "after chunk 4 is acknowledged"},
		{"", 100, 512, "after chunk 1 is acknowledged"},
		{"chunk:1", 48_000, 1024, "after chunk 1 is acknowledged"},
		{"chunk:46", 48_000, 1024, "after chunk 46 is acknowledged"},
		{"chunk:47", 48_000, 1024, ""}, // the last: nothing is left to cut off
		{"50%", 48_000, 1024, "after chunk 23 is acknowledged"},
		{"99%", 48_000, 1024, "after chunk 46 is acknowledged"},
		{"1%", 48_000, 512, "after chunk 1 is acknowledged"},
	} {
		var u UpdateMoment
		if test.text != "" {
			var err error
			if u, err = ParseUpdateMoment(test.text); err != nil {
				t.Fatal(err)
			}
		}
		m, err := u.In(test.size, test.chunk)
		if (err != nil) != (test.want == "") || m.Text != test.want {
			t.Errorf("%q in %d bytes: %q, %v", test.text, test.size, m.Text, err)
		}
	}
	for _, text := range []string{"", "17", "chunk:", "chunk:0", "chunk:-1", "chunk:x", "%", "0%", "100%", "1.5%", "start"} {
		if u, err := ParseUpdateMoment(text); err == nil {
			t.Errorf("%q is %+v", text, u)
		}
	}
}
