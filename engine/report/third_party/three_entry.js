// What the page's viewer uses of three.js: .ci/bundle-viewer makes three.min.js of it.
export {
  BufferAttribute,
  BufferGeometry,
  DoubleSide,
  FrontSide,
  GLSL3,
  LinearMipmapLinearFilter,
  Mesh,
  PerspectiveCamera,
  RawShaderMaterial,
  Scene,
  Spherical,
  Texture,
  Vector3,
  WebGLRenderer,
} from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
