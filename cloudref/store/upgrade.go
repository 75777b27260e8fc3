package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// formatVersion is the version of what is stored, in the file VERSION of a data
// directory and in the record "format" of the state itself, which a NATS cluster
// has too. It rises when an older program would lose or misread what this one
// writes, and not for what is only added. What changed, version by version:
//
//	1  the first
//	2  a session may name the node that has it (version 2 of its record, which a
//	   program of format 1 takes for unreadable, so that its device would have to
//	   make a handshake)
//	3  the progress of a session may tell where its device was heard last (version 2
//	   of its record: a program of format 2 would not read it, and use send sequences
//	   again that it reserves)
const formatVersion = 3

// upgrades[n] makes format n+1 of format n, in place. It may be cut short at any
// moment and is begun again then. A format whose records are all read as they are
// has none.
var upgrades = map[int]func(context.Context, *jet) error{}

// A format is the one record of bucketMeta.
type format struct {
	Version int    `json:"version"` // formatVersion
	KeyID   string `json:"key_id"`  // of the key that seals sessions
}

const formatKey = "format"

// checkFormat makes sure that what is stored is of a version that we know, upgrading
// it if need be, and that its sessions were encrypted with our key: with another they
// would all be lost, one by one and without a word.
func (j *jet) checkFormat(ctx context.Context, warn func(string)) error {
	s := &Store{backend: j}
	ours := format{Version: formatVersion, KeyID: j.sealer.keyID()}
	_, err := s.put(ctx, write{bucket: bucketMeta, key: formatKey, value: ours.encode(), cas: true})
	if !errors.Is(err, ErrConflict) {
		return err
	}
	e, err := s.get(ctx, bucketMeta, formatKey)
	if err != nil {
		return err
	}
	var f format
	if err := json.Unmarshal(e.value, &f); err != nil {
		return fmt.Errorf("the record of its format: %w", err)
	}
	switch {
	case f.Version > formatVersion:
		return fmt.Errorf("%w: its format is version %d, this program knows %d; use the newer program", ErrNewer, f.Version, formatVersion)
	case f.Version < 1:
		return fmt.Errorf("%w: its format has no version", ErrForeign)
	case f.KeyID != ours.KeyID:
		return fmt.Errorf("%w: theirs begins its SHA-256 with %s, that of session.key with %s; put the right key file back",
			ErrWrongKey, f.KeyID, ours.KeyID)
	case f.Version == formatVersion:
		return nil
	}
	for was := f.Version; was < formatVersion; was++ {
		step := upgrades[was]
		if step == nil {
			continue
		}
		if err := step(ctx, j); err != nil {
			return fmt.Errorf("upgrading from format %d to %d: %w; nothing is lost: start again when the cause is gone", was, was+1, err)
		}
	}
	// If another node was faster, it has done the same.
	_, err = s.put(ctx, write{bucket: bucketMeta, key: formatKey, value: ours.encode(), cas: true, expect: e.revision})
	if err != nil && !errors.Is(err, ErrConflict) {
		return err
	}
	warn(fmt.Sprintf("the stored state was upgraded from format %d to %d; older programs refuse it from now on", f.Version, formatVersion))
	return nil
}

func (f format) encode() []byte {
	b, err := json.Marshal(f)
	if err != nil {
		panic(fmt.Sprintf("store: encoding the format: %v", err))
	}
	return b
}
