package recording

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// The magic numbers at the beginning of a file.
var (
	magicGzip = []byte{0x1f, 0x8b}
	magicNG   = []byte{0x0a, 0x0d, 0x0d, 0x0a}
)

// Names returns the capture files that a path names: itself, or those in a folder, such
// as a bundle, by their names; not those in folders in it.
func Names(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	var list []string
	for _, e := range entries {
		switch filepath.Ext(strings.TrimSuffix(e.Name(), ".gz")) {
		case ".pcap", ".pcapng", ".cap":
			list = append(list, filepath.Join(path, e.Name()))
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("recording: the folder %s has no capture file (.pcap, .pcapng, .cap, with .gz or without)", path)
	}
	return list, nil
}

// A File is one capture file, plain or compressed with gzip. It can be read more
// than once.
type File struct{ path string }

// Open returns the file of that name, if it is a capture file.
func Open(path string) (*File, error) {
	f := &File{path}
	r, err := f.reader()
	if err != nil {
		return nil, err
	}
	return f, r.Close()
}

// A frame is one packet as it was captured.
type frame struct {
	at   time.Time
	link layers.LinkType
	data []byte // holds until the next one
	cut  bool   // not all of it was captured
}

// A frames reads the frames of a file.
type frames struct {
	file *os.File
	next func() (frame, error)
}

// Close closes the file.
func (r *frames) Close() error { return r.file.Close() }

func (f *File) reader() (*frames, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	next, err := framesOf(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("recording: %s: %w", f.path, err), file.Close())
	}
	return &frames{file: file, next: next}, nil
}

// unpacked returns a reader of a file that may be compressed.
func unpacked(file io.Reader) (*bufio.Reader, error) {
	r := bufio.NewReaderSize(file, 1<<16)
	if head, err := r.Peek(len(magicGzip)); err == nil && bytes.Equal(head, magicGzip) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		r = bufio.NewReaderSize(z, 1<<16)
	}
	return r, nil
}

// framesOf returns the function that reads the frames of a file.
func framesOf(file io.Reader) (func() (frame, error), error) {
	r, err := unpacked(file)
	if err != nil {
		return nil, err
	}
	head, err := r.Peek(len(magicNG))
	if err != nil {
		return nil, errors.New("it is too short for a capture file")
	}
	if !bytes.Equal(head, magicNG) {
		p, err := pcapgo.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("it is neither a pcap nor a pcapng file: %w", err)
		}
		return func() (frame, error) {
			data, info, err := p.ZeroCopyReadPacketData()
			return frameOf(p.LinkType(), data, info), err
		}, nil
	}
	p, err := pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
	if err != nil {
		return nil, fmt.Errorf("it begins like a pcapng file, but: %w", err)
	}
	return func() (frame, error) {
		data, info, err := p.ZeroCopyReadPacketData()
		if err != nil {
			return frame{}, err
		}
		link := p.LinkType()
		if i, err := p.Interface(info.InterfaceIndex); err == nil {
			link = i.LinkType
		}
		return frameOf(link, data, info), nil
	}, nil
}

func frameOf(link layers.LinkType, data []byte, info gopacket.CaptureInfo) frame {
	return frame{at: info.Timestamp, link: link, data: data, cut: info.CaptureLength < info.Length}
}

// Block types of a pcapng file.
const (
	blockSection = 0x0a0d0d0a
	blockSecrets = 0x0000000a
)

// Limits of what is read of secrets in a file, in bytes.
const (
	secretsMax = 16 << 20
	blockMax   = 64 << 20
)

// secretsTLS says that a block of secrets is a TLS key log ("TLSK").
const secretsTLS = 0x544c534b

// Secrets returns the key log that is in a pcapng file, empty if there is none.
func (f *File) Secrets() ([]byte, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	log, err := secretsOf(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("recording: %s: reading its secrets: %w", f.path, err)
	}
	return log, nil
}

func secretsOf(file io.Reader) (log []byte, err error) {
	r, err := unpacked(file)
	if err != nil {
		return nil, err
	}
	if head, err := r.Peek(len(magicNG)); err != nil || !bytes.Equal(head, magicNG) {
		return nil, nil // a pcap file has none
	}
	var order binary.ByteOrder = binary.LittleEndian
	for {
		head, err := r.Peek(12)
		if err != nil {
			return log, nil // the end, or a piece of a block: reading the packets tells
		}
		if binary.LittleEndian.Uint32(head) == blockSection { // the same in both orders
			order = binary.LittleEndian
			if binary.BigEndian.Uint32(head[8:]) == 0x1a2b3c4d {
				order = binary.BigEndian
			}
		}
		kind, size := order.Uint32(head), order.Uint32(head[4:])
		if size < 12 || size > blockMax {
			return log, nil
		}
		if kind != blockSecrets || size < 20 || len(log) > secretsMax {
			if _, err := r.Discard(int(size)); err != nil {
				return log, nil
			}
			continue
		}
		block := make([]byte, size)
		if _, err := io.ReadFull(r, block); err != nil {
			return log, nil
		}
		n := order.Uint32(block[12:])
		if order.Uint32(block[8:]) == secretsTLS && n <= size-20 {
			log = append(append(log, block[16:16+n]...), '\n')
		}
	}
}
