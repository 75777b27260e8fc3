package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func (j *jet) needImages(ctx context.Context, c Config) (err error) {
	j.objects, err = j.js.ObjectStore(ctx, imageBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		j.objects, err = j.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket:      imageBucket,
			Description: "firmware images, by SHA-256",
			Storage:     jetstream.FileStorage,
			Replicas:    c.Replicas,
		})
	}
	return err
}

func (j *jet) putImage(ctx context.Context, id ImageID, data []byte) error {
	if s := j.requests.space; s != nil {
		if err := s.check(time.Now()); err != nil {
			return err
		}
	}
	// One that is there is read: if the disk lost a part of it, this is how it is repaired.
	if have, err := j.objects.GetBytes(ctx, id.String()); err == nil && bytes.Equal(have, data) {
		return nil
	}
	if _, err := j.objects.Put(ctx, jetstream.ObjectMeta{Name: id.String()}, bytes.NewReader(data)); err != nil {
		return imageError(id, err)
	}
	return imageError(id, j.noteImage(ctx, id))
}

// noteImage notes that an image was acknowledged, or that it is gone: its description
// is the last of what is written of it.
func (j *jet) noteImage(ctx context.Context, id ImageID) error {
	stream, err := j.js.Stream(ctx, imageStream)
	if err != nil {
		return err
	}
	m, err := stream.GetLastMsgForSubject(ctx, imageAbout+base64.URLEncoding.EncodeToString([]byte(id.String())))
	if err != nil {
		return err
	}
	j.acked.stored(imageStream, Revision(m.Sequence))
	return nil
}

func (j *jet) image(ctx context.Context, id ImageID) ([]byte, error) {
	data, err := j.objects.GetBytes(ctx, id.String())
	return data, imageError(id, err)
}

func (j *jet) deleteImage(ctx context.Context, id ImageID) error {
	if err := j.objects.Delete(ctx, id.String()); err != nil {
		return imageError(id, err)
	}
	return imageError(id, j.noteImage(ctx, id))
}

func imageError(id ImageID, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrObjectNotFound):
		return fmt.Errorf("image %s: %w", id, ErrNotFound)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("image %s: %w", id, err)
	}
	return fmt.Errorf("image %s: %w: %w", id, ErrUnavailable, err)
}

func (j *jet) images(ctx context.Context) ([]Image, error) {
	list, err := j.objects.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := make([]Image, 0, len(list))
	for _, info := range list {
		if id, err := ParseImageID(info.Name); err == nil {
			all = append(all, Image{ID: id, Size: int64(info.Size), Stored: info.ModTime})
		}
	}
	slices.SortFunc(all, func(x, y Image) int { return bytes.Compare(x.ID[:], y.ID[:]) })
	return all, nil
}

// sweepImages removes the chunks of images that have no description: the upload
// ended before it was written. In a cluster another node may be uploading, so
// there nothing is removed.
func (j *jet) sweepImages(ctx context.Context) (int, error) {
	if j.embedded == nil {
		return 0, nil
	}
	stream, err := j.js.Stream(ctx, imageStream)
	if err != nil {
		return 0, err
	}
	if stream.CachedInfo().State.Msgs == 0 {
		return 0, nil
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(imageChunks+">"))
	if err != nil {
		return 0, err
	}
	known := map[string]bool{}
	list, err := j.objects.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return 0, err
	}
	for _, o := range list {
		known[o.NUID] = true
	}
	swept := 0
	for subject := range info.State.Subjects {
		if known[strings.TrimPrefix(subject, imageChunks)] {
			continue
		}
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return swept, err
		}
		swept++
	}
	return swept, nil
}
