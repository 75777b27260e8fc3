package peer

import "testing"

// A habit answers what the answer leaves, and before courtesy; silence is an answer.
func TestHabit(t *testing.T) {
	says := func(text string) Answer {
		return func(Message) ([][]byte, bool) { return [][]byte{[]byte(text)}, true }
	}
	leaves := func(Message) ([][]byte, bool) { return nil, false }
	for _, c := range []struct {
		answer, habit Answer
		want          string
	}{
		{nil, nil, "courtesy"},
		{nil, says("habit"), "habit"},
		{leaves, says("habit"), "habit"},
		{leaves, leaves, "courtesy"},
		{says("answer"), says("habit"), "answer"},
		{Silent, says("habit"), ""},
	} {
		var p mouth
		p.SetAnswer(c.answer)
		p.SetHabit(c.habit)
		got := ""
		for _, reply := range p.hear(0, []byte{0x40, 0, 0, 1}, says("courtesy")) {
			got += string(reply)
		}
		if got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
