package restapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// EnvToken is the environment variable that may hold the access token.
const EnvToken = "MUSTER_TOKEN"

// answerMax bounds how much of an answer is read.
const answerMax = 1 << 20

// A Cloud is a REST API and a token for it.
type Cloud struct {
	base   *url.URL
	token  string
	client *http.Client
}

// New returns the cloud at a URL, as http://127.0.0.1:8080. The certificates in
// ca, PEM, are trusted besides the system's; it may be empty.
func New(base, token string, ca []byte) (*Cloud, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no URL of a cloud: want one such as http://127.0.0.1:8080", base)
	}
	if token == "" {
		return nil, fmt.Errorf("the cloud at %s wants an access token: put it into a file and name that with --token-file, or into %s (\"muster cloud token\" makes one)", base, EnvToken)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	c := &Cloud{base: u, token: token, client: &http.Client{}}
	if len(ca) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(ca) {
			return nil, errors.New("the file of the cloud's certificate holds none in PEM")
		}
		transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:errcheck // the standard library's own
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
		c.client.Transport = transport
	}
	return c, nil
}

// Token returns the token in a file, or, without a file, in the environment. It
// is the file's first line, or what stands behind "token:" or "access_token" in
// it.
func Token(file string) (string, error) {
	if file == "" {
		return os.Getenv(EnvToken), nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the token: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		for _, key := range []string{"token", "access_token"} {
			if name, value, found := strings.Cut(line, ":"); found && strings.EqualFold(strings.TrimSpace(name), key) {
				return strings.TrimSpace(value), nil
			}
		}
	}
	first, _, _ := strings.Cut(string(b), "\n")
	first = strings.TrimSpace(first)
	if first == "" || strings.ContainsAny(first, " \t") {
		return "", fmt.Errorf("%s holds no token: want it alone on the first line", file)
	}
	return first, nil
}

// A RefusedError is an answer that is none of success.
type RefusedError struct {
	Status int
	Text   string // what the cloud says
}

// NotYours reports whether the cloud does not know a device, or not as that of the
// token's user: it does not say which.
func (e *RefusedError) NotYours() bool {
	return e.Status == http.StatusForbidden || e.Status == http.StatusNotFound
}

// Error says it, with what to do about the commonest.
func (e *RefusedError) Error() string {
	hint := ""
	switch e.Status {
	case http.StatusUnauthorized:
		hint = ": the token is not valid"
	case http.StatusForbidden, http.StatusNotFound: // clouds differ
		hint = ": the cloud does not know the device, or it belongs to somebody else"
	}
	return fmt.Sprintf("the cloud answers %d %q%s", e.Status, e.Text, hint)
}

func (c *Cloud) request(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	u := *c.base
	u.Path += path
	q, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Authorization", "Bearer "+c.token)
	if contentType != "" {
		q.Header.Set("Content-Type", contentType)
	}
	a, err := c.client.Do(q)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err // the URL is said already
		}
		return nil, fmt.Errorf("the cloud at %s does not answer: is it running? %w", c.base, err)
	}
	return a, nil
}

// do makes a request and decodes its answer into v, which may be nil.
func (c *Cloud) do(ctx context.Context, method, path, contentType string, body io.Reader, v any) error {
	const within = time.Minute
	ctx, stop := context.WithTimeoutCause(ctx, within, fmt.Errorf("the cloud at %s did not answer within %s", c.base, within))
	defer stop()
	a, err := c.request(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer a.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(a.Body, answerMax))
	if err != nil {
		return fmt.Errorf("the cloud at %s stopped in the middle of its answer: %w", c.base, err)
	}
	if a.StatusCode/100 != 2 {
		return refused(a.StatusCode, text)
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("the cloud at %s answers what is no JSON: %w", c.base, err)
	}
	return nil
}

// refused reads the forms that errors have.
func refused(status int, text []byte) error {
	var said struct {
		Error, Info, Output string
		Description         string `json:"error_description"`
		Errors              []any
	}
	_ = json.Unmarshal(text, &said) // what is none is told as it is
	e := &RefusedError{Status: status}
	for _, s := range []string{said.Description, said.Error, said.Info, said.Output} {
		if e.Text == "" {
			e.Text = s
		}
	}
	if e.Text == "" && len(said.Errors) > 0 {
		e.Text = fmt.Sprint(said.Errors...)
	}
	if e.Text == "" {
		const short = 200
		e.Text = strings.TrimSpace(string(text[:min(len(text), short)]))
	}
	return e
}

// Register registers the public key of a device, PEM of its SPKI, and makes the
// token's user its owner. The algorithm is "rsa" or "ecc".
func (c *Cloud) Register(ctx context.Context, id, publicKeyPEM, algorithm string) error {
	form := url.Values{
		"deviceID": {id}, "publicKey": {publicKeyPEM}, "filename": {"muster"}, "algorithm": {algorithm},
	}
	return c.do(ctx, http.MethodPost, "/v1/provisioning/"+url.PathEscape(id), "application/x-www-form-urlencoded", strings.NewReader(form.Encode()), nil)
}

// A Device is what the cloud knows of one.
type Device struct {
	ID        string    `json:"id"`
	Online    bool      `json:"online"`
	Connected bool      `json:"connected"`
	LastHeard time.Time `json:"last_heard"`
	Platform  int       `json:"platform_id"`
}

// Device returns what the cloud knows of a device.
func (c *Cloud) Device(ctx context.Context, id string) (d Device, err error) {
	return d, c.do(ctx, http.MethodGet, "/v1/devices/"+url.PathEscape(id), "", nil, &d)
}

// Flash has the cloud update a device, and returns its word on that once the
// transfer has begun.
func (c *Cloud) Flash(ctx context.Context, id, name string, image []byte) (string, error) {
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	part, err := m.CreateFormFile("file", name)
	if err == nil {
		_, err = part.Write(image)
	}
	if err == nil {
		err = m.WriteField("file_type", "binary")
	}
	if err = errors.Join(err, m.Close()); err != nil {
		return "", err
	}
	var said struct {
		OK      *bool
		Status  string
		Message string
		Output  string
	}
	err = c.do(ctx, http.MethodPut, "/v1/devices/"+url.PathEscape(id), m.FormDataContentType(), &body, &said)
	switch {
	case err != nil:
		return "", err
	case said.OK != nil && !*said.OK:
		return "", &RefusedError{Status: http.StatusOK, Text: said.Output}
	}
	return strings.TrimSpace(said.Status + said.Message), nil
}
