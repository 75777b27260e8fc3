package target

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestToken(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ text, want, fails string }{
		{"abc123\n", "abc123", ""},
		{"user: admin@example.org\npassword: x\ntoken: abc123\n", "abc123", ""}, // as login.txt
		{" \n", "", "is empty"},
		{"secret one\nsecret two\n", "", "more than one"},
	} {
		path := filepath.Join(dir, "token")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Secret{File: path}.read()
		if got != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("an error quotes the token: %v", err)
		}
	}
	t.Setenv(TokenEnv, "")
	t.Setenv(TokenEnvElse, "other")
	if got, err := (Secret{Env: TokenEnv}).read(); got != "other" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := (Secret{Env: "MUSTER_TEST_NO_SUCH_VARIABLE"}).read(); err == nil {
		t.Error("a variable that was named is another's")
	}
	t.Setenv(TokenEnv, "own")
	if got, err := (Secret{Env: TokenEnv}).read(); got != "own" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
