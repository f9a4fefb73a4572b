package injector

import (
	"slices"
)

// inspect refuses pods in which the sidecar would not be safe or not work.
func (a *asker) inspect(w wish, native bool) {
	spec := &a.p.Spec
	if firstApp(a.p) == "" {
		a.refuse("the pod has no container besides %s", containerName)
	}
	for _, flag := range []struct {
		set  bool
		text string
	}{
		{spec.ShareProcessNamespace, "shareProcessNamespace: true would let the app look into wxproxy's process; remove it"},
		{spec.HostPID, "hostPID: true would let the app look into wxproxy's process; remove it"},
		{spec.HostNetwork, "hostNetwork: true would open the port that signs payments to every process of the node; remove it"},
		{spec.OS.Name == "windows", "wxproxy runs in Linux pods only"},
	} {
		if flag.set {
			a.refuse("%s", flag.text)
		}
	}
	a.inspectAppArmor()
	a.inspectOwn(native)
	a.inspectPorts(w)
	a.inspectMounts(w, native)
}

// inspectAppArmor refuses profiles that the sidecar would inherit, unless the
// template has one. We set none by ourselves: nodes without AppArmor refuse
// pods that name one, the runtime's default included.
func (a *asker) inspectAppArmor() {
	if object(a.s.template()["securityContext"])["appArmorProfile"] != nil {
		return
	}
	if a.p.Spec.SecurityContext.AppArmorProfile.Type == "Unconfined" {
		a.refuse("securityContext.appArmorProfile Unconfined of the pod would free wxproxy from AppArmor, too; set it in the containers that need it")
	}
	if _, ok := a.p.Metadata.Annotations[appArmorKey+containerName]; ok {
		a.refuse("annotation %s%s is about the sidecar, whose profile is not the pod's to choose; remove it", appArmorKey, containerName)
	}
}

// inspectOwn looks at what already bears our names.
func (a *asker) inspectOwn(native bool) {
	spec := &a.p.Spec
	plain, init := index(spec.Containers, containerName) >= 0, index(spec.InitContainers, containerName) >= 0
	_, stamped := a.p.Metadata.Annotations[statusKey]
	switch {
	case (plain || init) && !stamped:
		a.refuse("the pod has a container named %s already; remove or rename it, the injector brings its own", containerName)
	case plain && native || init && !native:
		a.refuse("the pod's container %s was made for a cluster of another version; remove it, the injector brings its own", containerName)
	}
	if index(spec.EphemeralContainers, containerName) >= 0 {
		a.refuse("an ephemeral container is named %s; rename it", containerName)
	}
	for _, v := range spec.Volumes {
		if isOurs(v.Name) && !stamped {
			a.refuse("volume %s: names that begin with %s are the sidecar's; rename it", shown(v.Name), volumePrefix)
		}
	}
}

// inspectPorts finds ports that both would listen on.
func (a *asker) inspectPorts(w wish) {
	ports := map[int]string{a.s.Ports.Admin: "health", a.s.Ports.Notify: "notifies"}
	if !w.socket {
		ports[a.s.Ports.Outbound] = "outbound"
	}
	if use, ok := ports[w.appPort]; ok {
		a.refuse("%sapp-port %d is wxproxy's own port for %s; let the app listen on another", prefix, w.appPort, use)
	}
	for _, c := range slices.Concat(a.p.Spec.Containers, a.p.Spec.InitContainers) {
		if c.Name == containerName {
			continue
		}
		for _, port := range c.Ports {
			if use, ok := ports[port.ContainerPort]; ok {
				a.refuse("container %s listens on port %d, which is wxproxy's for %s; let it listen on another", shown(c.Name), port.ContainerPort, use)
			}
		}
	}
}

// inspectMounts keeps the sidecar's keys and tokens out of other containers:
// a mount may name a volume that only our patch brings.
func (a *asker) inspectMounts(w wish, native bool) {
	spec := &a.p.Spec
	allowed := appMounts(w, native)
	for _, c := range slices.Concat(spec.Containers, spec.InitContainers, spec.EphemeralContainers) {
		if c.Name == containerName {
			continue
		}
		if c.TargetContainerName == containerName {
			a.refuse("ephemeral container %s would share wxproxy's processes; target another container", shown(c.Name))
		}
		for _, m := range c.VolumeMounts {
			if isOurs(m.Name) && !slices.Contains(allowed, m) {
				a.refuse("container %s mounts %s, which is the sidecar's alone; remove the mount", shown(c.Name), shown(m.Name))
			}
		}
	}
}

// inspectEphemeral looks at a running pod to which containers are added, by
// kubectl debug for one.
func (s *Settings) inspectEphemeral(raw []byte, native bool) []string {
	p, err := readPod(raw)
	if err != nil {
		return []string{err.Error()}
	}
	a := &asker{s: s, p: p}
	// The pod's own containers were looked at when it was made; only what is
	// mounted or targeted now is new.
	p.Spec.Containers, p.Spec.InitContainers = nil, nil
	w := wish{socket: p.hasVolume(socketVolume) >= 0, job: p.runsOnce()}
	a.inspectMounts(w, native)
	return a.problems
}
