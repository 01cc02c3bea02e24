// The model in 3D. Needs WebGL 2; without it the page shows the turntable and says why.
(() => {
  "use strict";
  const root = document.getElementById("viewer");
  const canvas = document.getElementById("model");
  const status = document.getElementById("viewer-status");
  const facts = JSON.parse(document.getElementById("model-facts").textContent);
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  function bytes(id) {
    const text = atob(document.getElementById(id).textContent);
    const out = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
    return out;
  }

  function giveUp(why) {
    root.classList.add("no-webgl");
    const film = document.getElementById("turntable");
    if (!still.matches) film.src = URL.createObjectURL(new Blob([bytes("turntable-data")], { type: "image/webp" }));
    film.hidden = false;
    if (still.matches) film.src = document.getElementById("poster").src;
    status.textContent = why;
    for (const control of root.querySelectorAll("button")) control.disabled = true;
    performance.mark("meshdrop-model-missing");
  }

  // ---- geometry
  function unpack() {
    const { vertices, corners, faces, low, high, wide, crease_deg } = facts;
    const data = bytes("model-data").buffer;
    const Index = wide ? Uint32Array : Uint16Array;
    const width = Index.BYTES_PER_ELEMENT;
    let at = 0;
    const take = (Type, count) => {
      const part = new Type(data, at, count);
      at += part.byteLength + (-part.byteLength & 3);
      return part;
    };
    const point = take(Uint16Array, 3 * vertices);
    const uv = take(Uint16Array, 2 * corners);
    const vertexOf = take(Index, corners);
    const face = take(Index, 3 * faces);
    const seen = take(Uint8Array, faces);

    const at3 = new Float32Array(3 * vertices);
    for (let i = 0; i < at3.length; i++) at3[i] = low[i % 3] + (point[i] / 65535) * (high[i % 3] - low[i % 3]);

    const flat = new Float32Array(3 * faces);
    const smooth = new Float32Array(3 * vertices);
    for (let f = 0; f < faces; f++) {
      const [a, b, c] = [vertexOf[face[3 * f]], vertexOf[face[3 * f + 1]], vertexOf[face[3 * f + 2]]];
      const ux = at3[3 * b] - at3[3 * a], uy = at3[3 * b + 1] - at3[3 * a + 1], uz = at3[3 * b + 2] - at3[3 * a + 2];
      const vx = at3[3 * c] - at3[3 * a], vy = at3[3 * c + 1] - at3[3 * a + 1], vz = at3[3 * c + 2] - at3[3 * a + 2];
      const n = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
      for (let k = 0; k < 3; k++) {
        flat[3 * f + k] = n[k];
        smooth[3 * a + k] += n[k];
        smooth[3 * b + k] += n[k];
        smooth[3 * c + k] += n[k];
      }
    }
    const normalise = (v) => {
      for (let i = 0; i < v.length; i += 3) {
        const length = Math.hypot(v[i], v[i + 1], v[i + 2]) || 1;
        for (let k = 0; k < 3; k++) v[i + k] /= length;
      }
    };
    normalise(flat);
    normalise(smooth);

    const sharp = Math.cos((crease_deg * Math.PI) / 180);
    const isSharp = (f, v) =>
      smooth[3 * v] * flat[3 * f] + smooth[3 * v + 1] * flat[3 * f + 1] + smooth[3 * v + 2] * flat[3 * f + 2] < sharp;

    function geometry(count, put) {
      const position = new Float32Array(3 * count), texture = new Uint16Array(2 * count);
      const normal = new Int8Array(4 * count); // the fourth is how well the face was seen
      put((at, corner, f, crease) => {
        const v = vertexOf[corner];
        for (let k = 0; k < 3; k++) {
          position[3 * at + k] = at3[3 * v + k];
          normal[4 * at + k] = Math.round(127 * (crease ? flat[3 * f + k] : smooth[3 * v + k]));
        }
        normal[4 * at + 3] = seen[f];
        texture[2 * at] = uv[2 * corner];
        texture[2 * at + 1] = uv[2 * corner + 1];
      });
      const made = new THREE.BufferGeometry();
      made.setAttribute("position", new THREE.BufferAttribute(position, 3));
      made.setAttribute("normal", new THREE.BufferAttribute(normal, 4));
      made.setAttribute("uv", new THREE.BufferAttribute(texture, 2, true));
      return made;
    }

    // Corners that faces share, but for creases: a third of the work to draw.
    function shared() {
      const index = new Uint32Array(3 * faces), creased = [];
      for (let i = 0; i < 3 * faces; i++) {
        const crease = isSharp((i / 3) | 0, vertexOf[face[i]]);
        index[i] = crease ? corners + creased.push(i) - 1 : face[i];
      }
      const made = geometry(corners + creased.length, (put) => {
        for (let corner = 0; corner < corners; corner++) put(corner, corner, 0, false);
        creased.forEach((i, k) => put(corners + k, face[i], (i / 3) | 0, true));
      });
      made.setIndex(new THREE.BufferAttribute(index, 1));
      return made;
    }

    // Corners of each face's own, so that it can have edges and a colour of its own.
    const apart = () =>
      geometry(3 * faces, (put) => {
        for (let i = 0; i < 3 * faces; i++) {
          const f = (i / 3) | 0;
          put(i, face[i], f, isSharp(f, vertexOf[face[i]]));
        }
      });
    return { shared, apart };
  }

  const VERTEX = `
    in vec3 position; in vec4 normal; in vec2 uv;
    uniform mat4 modelViewMatrix, projectionMatrix; uniform mat3 normalMatrix;
    out vec3 vNormal, vEdge, vView; out vec2 vUv; flat out float vSeen;
    void main() {
      vec4 seen = modelViewMatrix * vec4(position, 1.0);
      vView = -seen.xyz; vNormal = normalMatrix * normal.xyz; vUv = uv; vSeen = normal.w;
      int corner = gl_VertexID % 3;
      vEdge = vec3(corner == 0, corner == 1, corner == 2);
      gl_Position = projectionMatrix * seen;
    }`;
  const FRAGMENT = `
    precision highp float;
    in vec3 vNormal, vEdge, vView; in vec2 vUv; flat in float vSeen;
    uniform sampler2D map; uniform float textured, wire, coverage;
    out vec4 colour;
    void main() {
      vec3 n = normalize(vNormal), e = normalize(vView);
      if (dot(n, e) < 0.0) n = -n;
      float key = max(0.0, (dot(n, vec3(-0.45, 0.65, 0.612)) + 0.25) / 1.25);
      float fill = max(0.0, (dot(n, vec3(0.72, 0.18, 0.67)) + 0.35) / 1.35);
      float light = pow(0.5 + 0.13 * n.y + 0.78 * key + 0.29 * fill, 1.0 / 2.2);
      float shine = pow(max(0.0, dot(n, normalize(e + vec3(-0.45, 0.65, 0.612)))), 24.0);
      vec3 clay = vec3(0.70, 0.71, 0.73);
      vec3 base = mix(clay, texture(map, vUv).rgb, textured);
      if (coverage > 0.5) {
        float grey = dot(base, vec3(0.3, 0.6, 0.1));
        base = vec3(0.35 + 0.45 * grey);
        float stripe = step(0.5, fract((gl_FragCoord.x + gl_FragCoord.y) / 9.0));
        if (vSeen > 2.5) base = mix(vec3(0.42, 0.28, 0.86), vec3(0.26, 0.13, 0.60), step(0.5, fract((gl_FragCoord.x - gl_FragCoord.y) / 9.0)));
        else if (vSeen > 1.5) base = mix(vec3(0.84, 0.16, 0.42), vec3(0.62, 0.05, 0.28), stripe);
        else if (vSeen > 0.5) base = vec3(0.93, 0.69, 0.22);
      }
      vec3 lit = base * light + 0.05 * shine;
      vec3 width = fwidth(vEdge);
      vec3 near = smoothstep(vec3(0.0), width * 1.25, vEdge);
      float line = 1.0 - min(near.x, min(near.y, near.z));
      float room = 1.0 - 0.65 * smoothstep(0.2, 0.55, max(width.x, max(width.y, width.z)));
      float luma = dot(lit, vec3(0.3, 0.6, 0.1));
      lit = mix(lit, luma < 0.35 ? vec3(0.85) : vec3(0.05), wire * line * room * 0.55);
      colour = vec4(min(lit, vec3(1.0)), 1.0);
    }`;

  function start(context) {
    const image = createImageBitmap(new Blob([bytes("texture-data")], { type: "image/jpeg" }), {
      premultiplyAlpha: "none", colorSpaceConversion: "none",
    }); // while the rest is made ready
    const { low, high, fov_deg, azimuth_deg, elevation_deg, distance_radii, radius } = facts;
    const renderer = new THREE.WebGLRenderer({ canvas, context });
    const camera = new THREE.PerspectiveCamera(fov_deg, 1, radius * 0.05, radius * 100);
    const centre = new THREE.Vector3(...low.map((value, k) => (value + high[k]) / 2));
    const { shared, apart } = unpack();
    const plain = shared();
    let detailed = null; // made when it is first asked for
    const map = new THREE.Texture();
    map.flipY = false;
    map.generateMipmaps = true;
    map.minFilter = THREE.LinearMipmapLinearFilter;
    if (quick) map.anisotropy = Math.min(4, renderer.capabilities.getMaxAnisotropy());
    const uniforms = { map: { value: map }, textured: { value: 0 }, wire: { value: 0 }, coverage: { value: 0 } };
    const material = new THREE.RawShaderMaterial({
      glslVersion: THREE.GLSL3, vertexShader: VERTEX, fragmentShader: FRAGMENT, uniforms,
      side: facts.closed ? THREE.FrontSide : THREE.DoubleSide,
    });
    const mesh = new THREE.Mesh(plain, material);
    mesh.frustumCulled = false;
    const scene = new THREE.Scene();
    scene.add(mesh);

    const controls = new THREE.OrbitControls(camera, canvas);
    controls.target.copy(centre);
    controls.minDistance = radius * 0.2;
    controls.maxDistance = radius * 20;
    controls.zoomToCursor = true;
    controls.enableZoom = false; // until it has the focus: the wheel scrolls the page
    controls.enableDamping = !still.matches;
    controls.dampingFactor = 0.18;
    canvas.style.touchAction = "pan-y"; // swiping up and down scrolls, sideways turns the model, two fingers do all

    // ---- draw when something has changed, and only then
    let due = 0;
    const draw = () => {
      due = 0;
      if (controls.update()) request();
      renderer.render(scene, camera);
    };
    const request = () => {
      due ||= requestAnimationFrame(draw);
    };
    controls.addEventListener("change", request);

    let size = "";
    const fit = () => {
      const { clientWidth: width, clientHeight: height } = root.querySelector(".canvas");
      if (!width || !height || size === `${width} ${height} ${devicePixelRatio}`) return;
      size = `${width} ${height} ${devicePixelRatio}`;
      renderer.setPixelRatio(quick ? Math.min(devicePixelRatio || 1, 2) : 1);
      renderer.setSize(width, height, false);
      camera.aspect = width / height;
      // the sphere around the object stays whole in a narrow frame, too
      const half = Math.tan((fov_deg * Math.PI) / 360);
      camera.fov = (Math.atan(half / Math.min(1, camera.aspect)) * 360) / Math.PI;
      camera.updateProjectionMatrix();
      request();
    };
    new ResizeObserver(fit).observe(root.querySelector(".canvas"));

    // As near as the whole model fits the frame, seen from there; never farther than the sphere around it needs.
    const away = (direction) => {
      const x = new THREE.Vector3(0, 1, 0).cross(direction).normalize(), y = direction.clone().cross(x);
      const up = Math.tan((camera.fov * Math.PI) / 360), across = up * camera.aspect;
      const point = plain.getAttribute("position").array;
      let least = 0;
      for (let i = 0; i < point.length; i += 3) {
        const [dx, dy, dz] = [point[i] - centre.x, point[i + 1] - centre.y, point[i + 2] - centre.z];
        const side = Math.max(
          Math.abs(dx * x.x + dy * x.y + dz * x.z) / across, Math.abs(dx * y.x + dy * y.y + dz * y.z) / up,
        );
        least = Math.max(least, dx * direction.x + dy * direction.y + dz * direction.z + 1.15 * side);
      }
      return Math.min(least, distance_radii * radius);
    };
    const home = () => {
      const a = (azimuth_deg * Math.PI) / 180, e = (elevation_deg * Math.PI) / 180;
      return new THREE.Vector3(Math.cos(e) * Math.sin(a), Math.sin(e), Math.cos(e) * Math.cos(a));
    };
    // Straight up or down there is no horizon: a hair's breadth beside it the view's own "up" is kept.
    const axis = ({ toward, up }) => {
      const direction = new THREE.Vector3(...toward);
      if (Math.abs(direction.y) > 0.9) direction.addScaledVector(new THREE.Vector3(...up), -1e-4 * Math.sign(direction.y));
      return direction.normalize();
    };

    let flight = 0;
    function fly(direction) {
      cancelAnimationFrame(flight);
      controls.enableDamping = false; // what is left of a movement ends here
      controls.update();
      const target = controls.target.clone(), offset = camera.position.clone().sub(target);
      const begin = new THREE.Spherical().setFromVector3(offset);
      const end = new THREE.Spherical().setFromVector3(direction.clone().multiplyScalar(away(direction)));
      end.theta = begin.theta + Math.atan2(Math.sin(end.theta - begin.theta), Math.cos(end.theta - begin.theta));
      const began = performance.now(), length = still.matches ? 0 : 380;
      const step = (now) => {
        const t = length ? Math.min(1, Math.max(0, now - began) / length) : 1, s = t * t * (3 - 2 * t);
        controls.target.lerpVectors(target, centre, s);
        const part = new THREE.Spherical(
          begin.radius + s * (end.radius - begin.radius),
          begin.phi + s * (end.phi - begin.phi),
          begin.theta + s * (end.theta - begin.theta),
        );
        camera.position.setFromSpherical(part.makeSafe()).add(controls.target);
        camera.lookAt(controls.target);
        request();
        if (t < 1) flight = requestAnimationFrame(step);
        else controls.enableDamping = !still.matches;
      };
      step(began + (length ? 0 : 1));
    }


    // ---- what can be pressed
    const toggles = { textured: "t", wire: "w", coverage: "u" };
    const set = (name, on) => {
      uniforms[name].value = on ? 1 : 0;
      root.querySelector(`[data-toggle=${name}]`).setAttribute("aria-pressed", String(on));
      const detail = uniforms.wire.value || uniforms.coverage.value;
      mesh.geometry = detail ? (detailed ??= apart()) : plain;
      if (name === "coverage") document.getElementById("coverage-legend").hidden = !on;
      request();
    };
    const flip = (name) => set(name, !uniforms[name].value);
    for (const button of root.querySelectorAll("[data-toggle]")) {
      button.addEventListener("click", () => flip(button.dataset.toggle));
    }
    const look = (name) => {
      fly(name === "home" ? home() : axis(facts.views.find((view) => view.name === name)));
      status.textContent = name === "home" ? "View reset" : `View from ${name}`;
    };
    for (const button of root.querySelectorAll("[data-look]")) {
      button.addEventListener("click", () => look(button.dataset.look));
    }
    const zoom = (inwards) => {
      if (inwards) controls.dollyIn(0.85);
      else controls.dollyOut(0.85);
      request();
    };
    for (const button of root.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => zoom(button.dataset.zoom === "in"));
    }
    const full = root.querySelector("[data-full]");
    const whole = () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen?.().catch(() => {}));
    if (root.requestFullscreen) full.addEventListener("click", whole);
    else full.hidden = true;
    document.addEventListener("fullscreenchange", () => {
      full.setAttribute("aria-pressed", String(document.fullscreenElement === root));
      controls.enableZoom = document.fullscreenElement === root || document.activeElement === canvas;
    });
    canvas.addEventListener("focus", () => (controls.enableZoom = true));
    canvas.addEventListener("blur", () => (controls.enableZoom = document.fullscreenElement === root));
    canvas.addEventListener("pointerdown", () => {
      cancelAnimationFrame(flight);
      controls.enableDamping = !still.matches;
      canvas.focus({ preventScroll: true });
    });

    const TURN = Math.PI / 24, MOVE = 24;
    const keys = {
      ArrowLeft: [() => controls.rotateLeft(TURN), () => controls.pan(MOVE, 0)],
      ArrowRight: [() => controls.rotateLeft(-TURN), () => controls.pan(-MOVE, 0)],
      ArrowUp: [() => controls.rotateUp(TURN), () => controls.pan(0, MOVE)],
      ArrowDown: [() => controls.rotateUp(-TURN), () => controls.pan(0, -MOVE)],
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const { key } = event;
      const view = facts.views[Number(key) - 1];
      const toggle = Object.keys(toggles).find((name) => toggles[name] === key.toLowerCase());
      if (keys[key]) keys[key][event.shiftKey ? 1 : 0]();
      else if (key === "+" || key === "=") zoom(true);
      else if (key === "-" || key === "_") zoom(false);
      else if (key === "0" || key === "Home") look("home");
      else if (view) look(view.name);
      else if (toggle) flip(toggle);
      else if (key.toLowerCase() === "f") whole();
      else return;
      event.preventDefault();
      request();
    });
    document.getElementById("show-coverage").addEventListener("click", () => {
      set("coverage", true);
      root.scrollIntoView({ behavior: still.matches ? "auto" : "smooth", block: "nearest" });
      canvas.focus({ preventScroll: true });
    });
    canvas.addEventListener("webglcontextlost", () => {
      status.textContent = "The graphics driver has dropped the picture; it comes back by itself, or with a reload.";
    });
    canvas.addEventListener("webglcontextrestored", request);

    fit();
    camera.position.copy(centre).addScaledVector(home(), away(home()));
    controls.update();
    const first = () => {
      cancelAnimationFrame(due);
      due = 0;
      renderer.render(scene, camera);
      const done = context.fenceSync(context.SYNC_GPU_COMMANDS_COMPLETE, 0);
      context.flush();
      const look = () => { // is it really drawn?
        if (context.clientWaitSync(done, 0, 0) === context.TIMEOUT_EXPIRED) setTimeout(look, 5);
        else {
          root.classList.add("drawn");
          performance.mark("meshdrop-model-drawn");
        }
      };
      setTimeout(look, 5);
    };
    image.then((decoded) => {
      map.image = decoded;
      map.needsUpdate = true;
      set("textured", true);
      first();
    }, () => {
      status.textContent = "The texture could not be decoded: the model is shown without it.";
      first();
    });
  }

  // Where the processor draws, smooth edges and slanted textures cost seconds, and are left out.
  const quick = canvas.getContext("webgl2", { antialias: true, failIfMajorPerformanceCaveat: true });
  const context = quick || canvas.getContext("webgl2", { antialias: false });
  if (!context) {
    giveUp("This browser has no WebGL 2, so the model is shown as an animation. mesh.glb opens in any 3D viewer.");
    return;
  }
  try {
    start(context);
  } catch (error) {
    giveUp("The model could not be drawn here, so it is shown as an animation. mesh.glb opens in any 3D viewer.");
    throw error;
  }
})();
