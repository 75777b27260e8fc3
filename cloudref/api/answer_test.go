package api

import (
	"net/http/httptest"
	"testing"
	"time"
)

// A slowWriter notes how much was written under each of its deadlines.
type slowWriter struct {
	*httptest.ResponseRecorder
	written []int
}

// SetWriteDeadline is for http.ResponseController.
func (w *slowWriter) SetWriteDeadline(t time.Time) error {
	if !t.IsZero() {
		w.written = append(w.written, 0)
	}
	return nil
}

// Write implements io.Writer.
func (w *slowWriter) Write(b []byte) (int, error) {
	w.written[len(w.written)-1] += len(b)
	return w.ResponseRecorder.Write(b)
}

// A client has the write time-out for each piece of a large answer, not for all of it:
// a megabyte of firmware over a slow line takes longer.
func TestLargeAnswersArePatient(t *testing.T) {
	b := newBench(t, nil)
	p := b.product()
	image := testBinaryOf(1<<20, 1000, 2)
	file := upload("binary", "large.bin", image, "version", "2")
	b.do("POST", p+"/firmware", b.alice, file.kind, file.content).decode()
	w := &slowWriter{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest("GET", p+"/firmware/2/binary", nil)
	r.Header.Set("Authorization", "Bearer "+b.alice)
	b.server.ServeHTTP(w, r)
	if w.Body.String() != string(image) {
		t.Fatalf("%d: %d bytes of %d", w.Code, w.Body.Len(), len(image))
	}
	for _, n := range w.written {
		if n > writePiece {
			t.Errorf("%d bytes under one deadline", n)
		}
	}
}
