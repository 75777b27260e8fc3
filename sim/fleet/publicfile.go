package fleet

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The forms of one file with the public halves of many keys, by the end of its
// name.
const (
	endJSONL = ".jsonl" // a publicKey a line
	endCSV   = ".csv"   // id,key
)

// A publicKey is one device in such a file.
type publicKey struct {
	ID  string `json:"id"`  // 24 hexadecimal digits
	Key []byte `json:"key"` // SubjectPublicKeyInfo in DER, in base64
}

// ExportPublic writes the public halves to where a cloud can read them: one file
// of JSON lines (.jsonl) or with commas (.csv), or a folder with <id>.pub.pem
// each. progress, if not nil, hears how many are written.
func (k *Keys) ExportPublic(path string, list []Member, progress func(done, of int)) error {
	if progress == nil {
		progress = func(int, int) {}
	}
	var line func(w io.Writer, m Member) error
	switch strings.ToLower(filepath.Ext(path)) {
	case endJSONL:
		line = func(w io.Writer, m Member) error {
			return json.NewEncoder(w).Encode(publicKey{ID: m.ID.String(), Key: k.Public(m.ID)})
		}
	case endCSV:
		line = func(w io.Writer, m Member) error {
			_, err := fmt.Fprintf(w, "%s,%s\n", m.ID, base64.StdEncoding.EncodeToString(k.Public(m.ID)))
			return err
		}
	default:
		return k.savePublic(path, list, progress)
	}
	if err := k.exportFile(path, list, line, progress); err != nil {
		return fmt.Errorf("fleet: writing the public keys: %w", err)
	}
	return nil
}

// exportFile writes one file, so that it is whole or not there.
func (k *Keys) exportFile(path string, list []Member, line func(io.Writer, Member) error, progress func(done, of int)) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if strings.EqualFold(filepath.Ext(path), endCSV) {
		_, _ = w.WriteString("id,key\n") // Flush tells of errors
	}
	for i, m := range list {
		if err := line(w, m); err != nil {
			return errors.Join(err, f.Close())
		}
		progress(i+1, len(list))
	}
	if err := errors.Join(w.Flush(), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
