package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/command/server"
	"github.com/hashicorp/vault/helper/builtinplugins"
	"github.com/hashicorp/vault/helper/namespace"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/file"
	"github.com/hashicorp/vault/vault"
)

// initial is what only the initialisation of a Vault tells.
type initial struct {
	UnsealKey string `json:"unseal_key"` // hexadecimal
	RootToken string `json:"root_token"`
}

// running is a Vault core on its storage.
type running struct {
	core     *vault.Core
	initFile string
}

// open starts a core on DIR, and initialises it where there is none yet.
func open(ctx context.Context, o options, log io.Writer) (*running, error) {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, err
	}
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.LevelFromString(o.logLevel), Output: log})
	storage, err := file.NewFileBackend(map[string]string{"path": filepath.Join(dir, "storage")}, logger)
	if err != nil {
		return nil, fmt.Errorf("opening the storage: %w", err)
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:        storage,
		Logger:          logger,
		DisableMlock:    true,
		BuiltinRegistry: builtinplugins.Registry,
		RawConfig:       &server.Config{SharedConfig: &configutil.SharedConfig{}},
		CredentialBackends: map[string]logical.Factory{
			"approle": approle.Factory, "kubernetes": kubernetes.Factory,
		},
		LogicalBackends: map[string]logical.Factory{"kv": kv.Factory, "transit": transit.Factory},
	})
	if err != nil {
		return nil, fmt.Errorf("starting Vault: %w", err)
	}
	v := &running{core: core, initFile: filepath.Join(dir, "init.json")}
	return v, v.prepare(namespace.RootContext(ctx), o.sealed)
}

// prepare initialises new storage, and unseals.
func (v *running) prepare(ctx context.Context, staySealed bool) error {
	initialised, err := v.core.Initialized(ctx)
	if err != nil {
		return fmt.Errorf("reading the storage: %w", err)
	}
	if !initialised {
		if err := v.initialise(ctx); err != nil {
			return err
		}
	} else if staySealed {
		return nil
	}
	text, err := os.ReadFile(v.initFile)
	if err != nil {
		return fmt.Errorf("unsealing: %w", err)
	}
	var known initial
	if err := json.Unmarshal(text, &known); err != nil {
		return fmt.Errorf("unsealing with %s: %w", v.initFile, err)
	}
	key, err := hex.DecodeString(known.UnsealKey)
	if err != nil {
		return fmt.Errorf("unsealing with %s: %w", v.initFile, err)
	}
	unsealed, err := v.core.Unseal(key)
	if err == nil && !unsealed {
		err = errors.New("the key was taken, but Vault stays sealed")
	}
	if err != nil {
		return fmt.Errorf("unsealing: %w", err)
	}
	return nil
}

func (v *running) initialise(ctx context.Context) error {
	if _, err := os.Stat(v.initFile); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there, but the storage is empty; remove one or bring back the other", v.initFile)
	}
	made, err := v.core.Initialize(ctx, &vault.InitParams{
		BarrierConfig: &vault.SealConfig{SecretShares: 1, SecretThreshold: 1},
	})
	if err != nil {
		return fmt.Errorf("initialising: %w", err)
	}
	line, err := json.Marshal(initial{UnsealKey: hex.EncodeToString(made.SecretShares[0]), RootToken: made.RootToken})
	if err != nil {
		return err
	}
	return os.WriteFile(v.initFile, append(line, '\n'), 0o600)
}

// handler is Vault's HTTP API.
func (v *running) handler() http.Handler {
	return vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core: v.core, ListenerConfig: &configutil.Listener{MaxRequestDuration: 90 * time.Second},
	})
}

func (v *running) close() { _ = v.core.Shutdown() } // the process ends
