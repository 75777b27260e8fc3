package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

const hookLogVersion = 1

// HookLog returns what is noted of the calls of a webhook, nil if that is nothing.
// What it says is who makes them.
func (s *Store) HookLog(ctx context.Context, hook DeviceID) (json.RawMessage, error) {
	note, _, err := s.hookLog(ctx, hook)
	return note, err
}

func (s *Store) hookLog(ctx context.Context, hook DeviceID) (json.RawMessage, Revision, error) {
	e, err := s.get(ctx, bucketHookLogs, hook.String())
	if errors.Is(err, ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("log of webhook %s: %w", hook, err)
	}
	var d document[json.RawMessage]
	if err := json.Unmarshal(e.value, &d); err != nil {
		return nil, 0, fmt.Errorf("store: log of webhook %s: %w", hook, err)
	}
	if d.Version > hookLogVersion {
		return nil, 0, fmt.Errorf("store: log of a webhook of version %d: %w", d.Version, ErrNewer)
	}
	return d.Record, e.revision, nil
}

// UpdateHookLog changes what is noted of a webhook that exists. change may be called
// more than once, where several nodes note something.
func (s *Store) UpdateHookLog(ctx context.Context, hook DeviceID, change func(json.RawMessage) (json.RawMessage, error)) error {
	for try := 1; ; try++ {
		if _, err := s.Hook(hook); err != nil {
			return err
		}
		note, revision, err := s.hookLog(ctx, hook)
		if err != nil {
			return err
		}
		if note, err = change(note); err != nil {
			return err
		}
		value, err := json.Marshal(document[json.RawMessage]{hookLogVersion, note})
		if err == nil {
			_, err = s.put(ctx, write{bucket: bucketHookLogs, key: hook.String(), value: value, cas: true, expect: revision})
		}
		if err == nil || !isConflict(err) || try == updateTries {
			return err
		}
	}
}
