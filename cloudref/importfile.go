package cloudref

import (
	"bufio"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// importLineMax bounds a line of a file of devices, in bytes.
const importLineMax = 64 << 10

// An importSource yields the devices of a file of many, one after the other. A
// badItem concerns one device only; io.EOF is the end.
type importSource func() (item importItem, where string, err error)

// A badItem says what is wrong with one device; the rest of the file is fine.
type badItem struct{ err error }

func (e *badItem) Error() string { return e.err.Error() }

// openImport opens what holds the devices: a folder with <id>.pub.pem each, or a
// file, "-" for the standard input, with JSON lines or commas.
func openImport(path string, stdin io.Reader) (next importSource, size int64, close func() error, err error) {
	if path == "-" {
		next, err = readImport(stdin)
		return next, 0, func() error { return nil }, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("the file with the devices: %w", err)
	}
	if info.IsDir() {
		next, n, err := folderImport(path)
		return next, int64(n), func() error { return nil }, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("the file with the devices: %w", err)
	}
	if next, err = readImport(f); err != nil {
		return nil, 0, nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return next, 0, f.Close, nil
}

// readImport tells the forms apart by the first character.
func readImport(r io.Reader) (importSource, error) {
	in := bufio.NewReaderSize(r, 1<<20)
	for {
		b, err := in.Peek(1)
		switch {
		case errors.Is(err, io.EOF):
			return nil, errors.New("it is empty")
		case err != nil:
			return nil, err
		case strings.IndexByte(" \t\r\n", b[0]) >= 0 || b[0] >= 0x80: // the mark of UTF-8, too
			if _, err := in.Discard(1); err != nil {
				return nil, err
			}
			continue
		case b[0] == '{':
			return jsonImport(in), nil
		default:
			return csvImport(in)
		}
	}
}

func jsonImport(in *bufio.Reader) importSource {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 4<<10), importLineMax)
	n := 0
	return func() (item importItem, where string, err error) {
		for lines.Scan() {
			n++
			where = fmt.Sprintf("line %d", n)
			line := strings.TrimSpace(lines.Text())
			if line == "" {
				continue
			}
			if err := json.Unmarshal([]byte(line), &item); err != nil {
				return item, where, &badItem{fmt.Errorf(`want {"id":"…","key":"…"} with the key in base64: %w`, err)}
			}
			return item, where, nil
		}
		if err := lines.Err(); err != nil {
			return item, fmt.Sprintf("line %d", n+1), err
		}
		return item, "", io.EOF
	}
}

// csvImport reads columns as the first line names them: id, key, name, owner.
func csvImport(in *bufio.Reader) (importSource, error) {
	table := csv.NewReader(in)
	table.FieldsPerRecord, table.ReuseRecord = -1, true
	header, err := table.Read()
	if err != nil {
		return nil, fmt.Errorf("its first line: %w", err)
	}
	columns := map[string]int{}
	for i, name := range header {
		columns[strings.ToLower(strings.TrimSpace(name))] = i
	}
	if _, hasID := columns["id"]; !hasID {
		return nil, errors.New(`it is neither JSON lines, {"id":"…","key":"…"}, nor a table whose first line is id,key`)
	}
	if _, hasKey := columns["key"]; !hasKey {
		return nil, errors.New(`the first line names no column "key", with the public key in base64`)
	}
	return func() (item importItem, where string, err error) {
		record, err := table.Read()
		line, _ := table.FieldPos(0)
		where = fmt.Sprintf("line %d", line)
		var bad *csv.ParseError
		switch {
		case errors.As(err, &bad):
			return item, fmt.Sprintf("line %d", bad.Line), &badItem{bad.Err}
		case err != nil:
			return item, where, err
		}
		field := func(name string) string {
			if i, ok := columns[name]; ok && i < len(record) {
				return strings.TrimSpace(record[i])
			}
			return ""
		}
		item = importItem{ID: field("id"), Name: field("name"), Owner: field("owner")}
		if item.Key, err = base64.StdEncoding.DecodeString(field("key")); err != nil {
			return item, where, &badItem{fmt.Errorf("device %q: the key is not base64: %w", item.ID, err)}
		}
		return item, where, nil
	}, nil
}

// folderImport reads <id>.pub.pem after <id>.pub.pem, in the order of their names.
func folderImport(dir string) (importSource, int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !strings.HasSuffix(e.Name(), watchSuffix) })
	if len(entries) == 0 {
		return nil, 0, fmt.Errorf("%s holds no <id>%s", dir, watchSuffix)
	}
	i := 0
	return func() (item importItem, where string, err error) {
		if i == len(entries) {
			return item, "", io.EOF
		}
		where = entries[i].Name()
		i++
		item.ID = strings.TrimSuffix(where, watchSuffix)
		if item.Key, err = os.ReadFile(filepath.Join(dir, where)); err != nil {
			return item, where, &badItem{err}
		}
		return item, where, nil
	}, len(entries), nil
}
