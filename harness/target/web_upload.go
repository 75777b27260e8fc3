package target

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// uploadBoundary parts what is uploaded.
const uploadBoundary = "muster-5eed5eed5eed"

const uploadKind = "multipart/form-data; boundary=" + uploadBoundary

// FloodFile is Flood with one file of size bytes in an upload.
func (w *Web) FloodFile(ctx context.Context, who int, method, path string, size int64) (a Answer, taken int64, err error) {
	head := "--" + uploadBoundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"firmware.bin\"\r\n\r\n"
	return w.flood(ctx, who, method, path, uploadKind, &endless{head: head, left: size})
}

// ManyParts sends an upload of n parts, each of them small. The first is called name,
// and the others what nobody asks for.
func (w *Web) ManyParts(ctx context.Context, who int, method, path string, n int) (Answer, error) {
	var body strings.Builder
	for i := range n {
		name := "name"
		if i > 0 {
			name = fmt.Sprint("part", i)
		}
		fmt.Fprintf(&body, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\nx\r\n", uploadBoundary, name)
	}
	fmt.Fprintf(&body, "--%s--\r\n", uploadBoundary)
	answer, err := w.sendAs(ctx, who, method, path, uploadKind, strings.NewReader(body.String()))
	if err != nil {
		return Answer{}, err
	}
	return readAnswer(answer)
}

// Flood sends a form of size bytes and returns the answer, and how many of them the
// cloud had taken when it answered. A cloud that cuts the connection has answered
// too: then the status is 0.
func (w *Web) Flood(ctx context.Context, who int, path string, size int64) (a Answer, taken int64, err error) {
	return w.flood(ctx, who, http.MethodPost, path, formKind, &endless{head: "name=x&data=x", left: size})
}

func (w *Web) flood(ctx context.Context, who int, method, path, kind string, flood *endless) (a Answer, taken int64, err error) {
	answer, err := w.sendAs(ctx, who, method, path, kind, flood)
	if err != nil {
		if ctx.Err() != nil || flood.taken == 0 {
			return Answer{}, flood.taken, err
		}
		return Answer{}, flood.taken, nil
	}
	defer func() { _ = answer.Body.Close() }()
	b, _ := io.ReadAll(io.LimitReader(answer.Body, answerMax)) // it may be cut: the status tells
	return Answer{answer.StatusCode, answer.Header.Get("Content-Type"), string(b)}, flood.taken, nil
}

// endless is many bytes behind a head, made as they are asked for.
type endless struct {
	head        string
	left, taken int64
}

// Read implements io.Reader.
func (f *endless) Read(b []byte) (int, error) {
	if f.left <= 0 {
		return 0, io.EOF
	}
	n := int(min(f.left, int64(len(b))))
	for i := range b[:n] {
		b[i] = 'x'
	}
	if f.head != "" {
		n = copy(b[:n], f.head)
		f.head = f.head[n:]
	}
	f.left -= int64(n)
	f.taken += int64(n)
	return n, nil
}
