package target

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// A plainWord is a word of the shell that is what it looks like.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./+,:@%-]+$`)

// runnable says why the command of a program cannot run, as far as that shows
// without running it.
func runnable(command string) error {
	words := strings.Fields(command)
	if len(words) == 0 {
		return errors.New("process: names no program: say process:COMMAND")
	}
	name := words[0]
	if !plainWord.MatchString(name) {
		return nil // the shell's to understand
	}
	if !strings.Contains(name, "/") {
		// What the shell knows itself is in no folder.
		if exec.Command("/bin/sh", "-c", `command -v "$0"`, name).Run() != nil {
			return fmt.Errorf("process:%s: there is no %q in PATH: a program of this folder is process:./%s", command, name, name)
		}
		return nil
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		in, _ := filepath.Abs(".")
		return fmt.Errorf("process:%s: there is no %s (looked from %s)", command, name, in)
	case err != nil:
		return fmt.Errorf("process:%s: %w", command, err)
	case info.IsDir():
		return fmt.Errorf("process:%s: %s is a folder, and no program", command, name)
	case info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("process:%s: %s may not be executed: chmod +x %s", command, name, name)
	}
	return nil
}
