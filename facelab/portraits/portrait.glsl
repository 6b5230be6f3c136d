// A procedural head as a signed distance field, and its shading. Lengths are in head units (1 = 1.6 times the distance
// between the eyes); head space has its origin between the eyes, x to the viewer's right, y up, z toward the camera.
// Names in lower case that are not declared here are uniforms, defined by renderer.py (factor values, settled).

// ---- building blocks --------------------------------------------------------------------------------------------

// Smooth minimum: below a gap of k between a and b a parabola of height k/4 is taken off, so both value and slope meet.
// Formula: quadratic polynomial blend, I. Quilez, "Smooth minimum", iquilezles.org/articles/smin.
float blend(float a, float b, float k) {
    float overlap = max(k - abs(a - b), 0.0);
    return min(a, b) - overlap * overlap / (4.0 * k);
}
// Smooth maximum, by negation: carves with rounded edges.
float carve(float a, float b, float k) { return -blend(-a, -b, k); }

// Distance to an ellipsoid of the given radii, to first order: f / |grad f| of f = |p / radii| - 1
// (G. Taubin, "Estimation of planar curves, surfaces and nonplanar space curves", PAMI 1991).
float ellipsoid(vec3 p, vec3 radii) {
    vec3 s = p / radii;
    float f = length(s);
    return (f - 1.0) * f / length(s / radii);
}
// Distance to a segment thickened by r (nearest point by clamped projection; Quilez, "Distance functions").
float rod(vec3 p, vec3 from, vec3 to, float r) {
    vec3 axis = to - from;
    float along = dot(p - from, axis) / dot(axis, axis);
    return distance(p, from + axis * clamp(along, 0.0, 1.0)) - r;
}
// Pseudo-random number in 0..1 at an integer lattice point: the output permutation of PCG-RXS-M-XS
// (M. O'Neill, "PCG", 2014; as a lattice hash: Jarzynski & Olano, "Hash functions for GPU rendering", JCGT 2020).
float lattice(ivec2 cell) {
    uint state = uint(cell.x) * 1664525u + uint(cell.y) * 22695477u + 1013904223u;
    state = state * 747796405u + 2891336453u;
    uint word = ((state >> ((state >> 28) + 4u)) ^ state) * 277803737u;
    return float(((word >> 22) ^ word) >> 8) / 16777216.0;
}
float value_noise(vec2 p) {
    ivec2 cell = ivec2(floor(p));
    vec2 f = fract(p);
    f = f * f * (3.0 - 2.0 * f);
    float low = mix(lattice(cell), lattice(cell + ivec2(1, 0)), f.x);
    float high = mix(lattice(cell + ivec2(0, 1)), lattice(cell + ivec2(1, 1)), f.x);
    return mix(low, high, f.y);
}

// ---- frames of the features -------------------------------------------------------------------------------------

const vec3 PIVOT = vec3(0.0, -0.25, -0.2);
vec3 to_head(vec3 p) { return (p - PIVOT) * HEAD + PIVOT; }       // HEAD holds the transpose of the head's rotation

float eye_x() { return 0.305 * eye_spacing; }
float eye_radius() { return 0.194 * eye_size; }
vec3 eye_centre() { return vec3(eye_x(), 0.0, 0.45); }
// How far inside the almond between the lids: x below the upper, y above the lower edge; e is measured from the eye.
vec2 lid_gap(vec3 e) {
    float r = eye_radius(), x = e.x / r;
    float y = e.y - 0.9 * eye_tilt * e.x;
    float arch = max(1.0 - 1.05 * x * x, -0.3);
    float opening = mix(0.86, 0.46, squint) - 0.07 * max(smile, 0.0);
    float upper = r * (0.74 * opening * arch + 0.02);
    float lower = -r * 0.58 * opening * arch * (1.0 - 0.26 * max(smile, 0.0));
    return vec2(upper - y, y - lower);
}
float nose_tip() { return -0.30 * nose_length * face_length; }
vec3 to_mouth(vec3 q) {
    vec3 m = q - vec3(0.0, -0.59 * face_length, 0.66);
    m.y -= smile * (0.95 * m.x * m.x - 0.028);
    m.z += 0.75 * m.x * m.x;
    return m;
}
float mouth_half() { return (0.205 + 0.055 * max(smile, 0.0)) * mouth_width; }
float mouth_gap() { float o = max(mouth_open, 0.0); return 0.075 * o * o + 0.03 * o; }
// Distance, in the plane of the mouth, to the outline of the lips; negative inside.
float lip_outline(vec3 m) {
    float w = mouth_half(), jo = mouth_gap();
    float profile = sqrt(max(1.0 - m.x * m.x / (w * w), 0.0));
    float upper = (jo + 0.026 * lips + (0.026 + 0.024 * lips) * (1.0 - 0.27 * exp(-300.0 * m.x * m.x))) * profile;
    float lower = -(1.25 * jo + 0.034 * lips + 0.010 + 0.034 * lips) * profile;
    return max(max(m.y - upper, lower - m.y), abs(m.x) - w);
}
// Share of full beard at a point of the face: the jaw, sideburns and upper lip, but not the lips.
float beard_at(vec3 q) {
    float side = abs(q.x);
    float top = min(-0.41 * face_length, nose_tip() - 0.10) + 0.72 * max(side - 0.30, 0.0) - 0.07 * smoothstep(0.12, 0.30, side);
    float region = smoothstep(-0.05, 0.09, top - q.y) * smoothstep(-0.16, 0.02, q.z) * smoothstep(-1.22, -0.98, q.y);
    return region * smoothstep(-0.004, 0.030, lip_outline(to_mouth(q)));
}
float moustache_at(vec3 q) {
    vec3 m = to_mouth(q);
    float x = abs(m.x);
    float middle = 0.105 + 0.02 * lips + mouth_gap() - 0.35 * x;
    return smoothstep(0.075, 0.03, abs(m.y - middle) + 0.8 * max(x - 0.24, 0.0)) * smoothstep(0.2, 0.4, q.z);
}

// ---- skin -------------------------------------------------------------------------------------------------------

float skin_sdf(vec3 q, vec3 p) {
    vec3 a = vec3(abs(q.x), q.yz);
    float jo = mouth_gap(), up = max(smile, 0.0);
    float d = ellipsoid(q - vec3(0.0, 0.27, -0.14), vec3(0.73 * face_width, 0.80, 0.85));
    d = blend(d, ellipsoid(q - vec3(0.0, -0.36 * face_length, 0.10),
                           vec3(0.60 * jaw_width, 0.62 * face_length + 0.5 * jo, 0.585)), 0.34);
    d = blend(d, ellipsoid(q - vec3(0.0, (-0.80 - 0.10 * chin) * face_length - 0.9 * jo, 0.36 + 0.09 * chin),
                           vec3(0.17 * jaw_width, 0.135, 0.14)), 0.26);
    float cheek = 0.165 + 0.125 * cheeks + 0.02 * up;
    d = blend(d, length(a - vec3(0.345 * face_width, -0.335 * face_length + 0.05 * up - 0.07 * old, 0.40)) - cheek, 0.20);
    d = blend(d, rod(a, vec3(0.10, 0.155, 0.60), vec3(0.36, 0.185, 0.50), 0.045), 0.16);             // brow ridge
    d = carve(d, -ellipsoid(a - vec3(eye_x(), -0.01, 0.80), vec3(0.20, 0.155, 0.20)), 0.16);         // eye sockets
    // ears, turned 20 degrees out of the head; a scarf lays them flat
    vec3 e = a - vec3(0.735 * face_width - 0.16 * scarf, -0.06, -0.10);
    e.xz = vec2(0.94 * e.x - 0.34 * e.z, 0.94 * e.z + 0.34 * e.x);
    float ear = ellipsoid(e - vec3(0.055, 0.0, -0.02), vec3(0.075, 0.205, 0.125));
    ear = carve(ear, -ellipsoid(e - vec3(0.12, 0.02, 0.035), vec3(0.055, 0.135, 0.075)), 0.05);
    d = blend(d, ear, 0.05);
    // nose: bridge, tip, wings, nostrils
    float tip = nose_tip();
    float n = rod(a, vec3(0.0, 0.06, 0.60), vec3(0.0, tip + 0.03, 0.80), 0.058);
    n = blend(n, length((q - vec3(0.0, tip, 0.80)) / vec3(1.0 + 0.25 * (nose_width - 1.0), 1.0, 1.0)) - 0.098, 0.10);
    n = blend(n, length(a - vec3(0.088 * nose_width, tip - 0.028, 0.735)) - 0.062, 0.055);
    n = carve(n, 0.034 - length(a - vec3(0.048 * nose_width, tip - 0.105, 0.795)), 0.03);
    d = blend(d, n, 0.11);
    // folds from the nose to the corners of the mouth, deeper with age and a smile
    float fold = rod(a, vec3(0.135 * nose_width, tip - 0.02, 0.70), vec3(0.29, -0.62 * face_length, 0.52), 0.01);
    d += (0.020 * old + 0.005 * up) * smoothstep(0.085, 0.0, fold);
    // the mound of the mouth
    vec3 m = to_mouth(q);
    d = blend(d, ellipsoid(m - vec3(0.0, 0.0, -0.09), vec3(0.25, 0.17, 0.14)), 0.12);
#ifdef WITH_BEARD
    d -= 0.040 * beard * beard_at(q);
#endif
    // lips: two tapered tubes around a carved gap
    float w = mouth_half();
    float t = max(1.0 - m.x * m.x / (w * w), 0.0), beyond = max(abs(m.x) - w, 0.0), profile = sqrt(t);
    float bow = 0.014 * exp(-420.0 * m.x * m.x) - 0.010 * exp(-500.0 * (abs(m.x) - 0.06) * (abs(m.x) - 0.06));
    vec2 upper = vec2(m.y - (jo + 0.026 * lips - bow) * profile, m.z - 0.022 * profile);
    vec2 lower = vec2(m.y + (1.25 * jo + 0.034 * lips) * profile, m.z - 0.016 * profile);
    float upper_lip = length(vec3(beyond, upper)) - 0.010 - (0.028 - 0.05 * jo) * lips * profile;
    float lower_lip = length(vec3(beyond, lower)) - 0.010 - (0.036 - 0.06 * jo) * lips * profile;
    float gap = max(max(abs(m.y + 0.12 * jo * profile) - (1.12 * jo * profile - 0.004), -(m.z + 0.30)), abs(m.x) - w);
    d = carve(d, -gap, 0.02);
    d = blend(d, min(upper_lip, lower_lip), 0.028);
    d += 0.016 * smoothstep(0.06, 0.0, length(vec2(a.x - w - 0.022, m.y))) * step(0.3, q.z) * (0.3 + 0.7 * up);
    // eyelids: a shell around the eye with the almond cut out
    vec3 eye = a - eye_centre();
    vec2 lids = lid_gap(eye);
    float lid = carve(length(eye) - eye_radius() - 0.022, min(lids.x, lids.y), 0.016);
    d = carve(d, -(length(eye) - eye_radius() - 0.004), 0.01);
    d = blend(d, lid, 0.035);
    return blend(d, rod(p, vec3(0.0, -0.75, -0.26), vec3(0.0, -1.9, -0.34), 0.325), 0.13);            // neck
}
float eye_sdf(vec3 q) { return length(vec3(abs(q.x), q.yz) - eye_centre()) - eye_radius(); }
float teeth_sdf(vec3 q) {
    float jo = mouth_gap();
    vec3 slab = abs(to_mouth(q) - vec3(0.0, 0.55 * jo + 0.02, -0.075)) - vec3(0.72 * mouth_half(), 0.035 + 0.22 * jo, 0.02);
    return length(max(slab, 0.0)) - 0.012;
}

// ---- hair -------------------------------------------------------------------------------------------------------

// Height of the hairline in the neck.
float neckline(vec3 q) {
    return mix(-0.02, -0.35, max(smoothstep(0.1, 0.5, hair_length), afro)) + 0.22 * q.z - 0.30 * smoothstep(0.1, -0.5, q.z);
}
// Distance to the opening that the hair leaves for the face, negative inside.
float face_opening(vec3 q) {
    float brow = mix(0.68, 0.17, fringe * fringe) + 0.40 * q.x * parting * (1.0 - 0.4 * fringe) - 0.06 * parting * parting * fringe;
    brow += 0.022 * sin(15.0 * q.x + 3.0 * parting) * smoothstep(0.25, 0.8, fringe);
    float y = q.y - brow + 0.95;                                   // the opening's top lies at the brow line
    y = y > 0.0 ? y : 0.25 * y;                                    // and it runs down past the chin
    float reach = 0.78 + 0.45 * smoothstep(-0.55, -0.95, q.y);     // below the chin it frees the neck
    return ellipsoid(vec3(q.x, y, q.z - 0.80), vec3((0.63 - 0.05 * fringe) * face_width, 0.95, reach));
}
float curls(vec3 q) {
#ifdef WITH_CURL
    vec3 w = 11.5 * q + vec3(0.3, 0.0, 0.7);
    w += 0.8 * sin(0.6 * w.yzx);
    float coil = sin(17.0 * q.x) * sin(17.0 * q.y + 1.0) * sin(17.0 * q.z);
    return 0.042 * curl_depth * sin(w.x) * sin(w.y) * sin(w.z) + 0.026 * afro * coil;
#else
    return 0.0;
#endif
}
// Height of braided hair: -0.5 between the ropes, 0.5 on top of one.
float rope(vec3 q) { return sqrt(abs(cos(12.0 * atan(q.x, q.z + 0.24)))) - 0.5; }
float hair_sdf(vec3 q, vec3 p) {
    float front = 1.0 - 0.55 * smoothstep(0.15, 0.80, q.z) * (1.0 - fringe) * (1.0 - afro);
    float side = mix(mix(0.25, 1.0, smoothstep(-0.35, 0.60, q.y)), 1.0, max(smoothstep(0.34, 0.5, hair_length), afro));
    float v = hair_depth * front, vs = v * side;
    float d = ellipsoid(q - vec3(0.07 * parting, 0.27 + 0.35 * v, -0.17),
                        vec3(0.73 * face_width + 0.85 * vs, 0.80 + 1.05 * v, 0.85 + 0.9 * vs));
    // the long part: an elliptical curtain that follows the head above and the body below
    float length_share = smoothstep(0.34, 1.0, hair_length);
    float hem = mix(-0.1, -1.75, length_share);
    vec3 h = mix(q, p, 0.6 * smoothstep(-0.3, -1.2, q.y));
    float flare = 1.0 + 0.10 * smoothstep(0.2, -1.2, h.y) * (0.4 + hair_volume);
    vec2 ring = vec2(h.x / (0.73 * face_width + 0.8 * v), (h.z + 0.24) / (0.60 + 0.6 * v)) / flare;
    float curtain = carve(0.60 * (length(ring) - 1.0), abs(h.y - 0.5 * (0.35 + hem)) - 0.5 * (0.35 - hem), 0.28);
    curtain += 0.25 * (1.0 - smoothstep(0.30, 0.42, hair_length));
    d = blend(carve(d, neckline(q) - q.y, 0.10), curtain, 0.10);
    d = carve(d, -face_opening(q), 0.13);
    d += curls(q);
#ifdef WITH_CURL
    d -= 0.034 * braids * rope(h);
#endif
#ifdef WITH_HEADWEAR
    if (puffs > 0.0) {
        vec3 b = vec3(abs(q.x), q.yz) - mix(0.65, 1.0, puffs) * vec3(0.60 * face_width + 0.10, 0.86, -0.12);
        d = blend(d, length(b) - 0.35 * puffs + 0.05 + 1.2 * curls(0.9 * q), 0.06);
    }
#endif
    return d;
}

// ---- things worn ------------------------------------------------------------------------------------------------

// x: distance to a knitted hat, y: at most 0 on its folded rim. The gate pulls it down from above the head.
vec2 hat_sdf(vec3 q) {
    float v = 0.85 * max(hair_depth, 0.0) + 0.05;
    float cap = ellipsoid(q - vec3(0.0, 0.27, -0.14), vec3(0.73 * face_width, 0.93, 0.85) + v);
    float level = q.y - mix(1.62, 0.36, hat) + 0.22 * (q.z - 0.4);
    float rim = carve(cap - 0.045, abs(level - 0.08) - 0.10, 0.07);
    return vec2(min(carve(cap, -level, 0.05), rim), rim - cap);
}
// A scarf around head, neck and shoulders with the face left open; the gate pulls it up from below.
float scarf_sdf(vec3 q, vec3 p) {
    float d = ellipsoid(q - vec3(0.0, 0.24, -0.14), vec3(0.76 * face_width, 0.83, 0.86) + 0.075);
    float wide = 0.70 * max(face_width, jaw_width);
    d = blend(d, ellipsoid(q - vec3(0.0, -0.42 * face_length, 0.06), vec3(wide, 0.66 * face_length, 0.70) + 0.075), 0.22);
    d = blend(d, ellipsoid(p - vec3(0.0, -1.32, -0.22), vec3(0.66, 0.46, 0.56) + 0.075), 0.20);
    float crease = sin(9.0 * (p.y + 0.45 * abs(p.x)) + 2.0 * p.z + 1.5 * p.x);
    d += 0.016 * crease * smoothstep(-0.55, -1.0, p.y);
    vec3 o = q - vec3(0.0, -0.28 * face_length, 0.80);
    d = carve(d, -ellipsoid(o, vec3(0.60 * face_width, 0.84 * face_length, 0.70)), 0.07);
    return carve(d, q.y + 0.35 * (q.z + 0.2) - mix(-1.55, 1.75, scarf), 0.06);
}
float lens_outline(vec2 v) {
    vec2 half_size = vec2(0.222, 0.178 - 0.02 * frame_shape);
    float r = min(mix(0.175, 0.05, frame_shape), half_size.y);
    vec2 k = abs(v) - half_size + r;
    return length(max(k, 0.0)) + min(max(k.x, k.y), 0.0) - r;
}
const vec2 LENS = vec2(0.305, -0.025);
float glasses_surface(float x) { return 0.735 - 0.30 * x * x; }
float glasses_sdf(vec3 q) {
    vec3 a = vec3(abs(q.x), q.yz);
    float z = q.z - glasses_surface(a.x);
    float d = length(vec2(lens_outline(a.xy - LENS), z)) - 0.020;
    d = min(d, length(vec2(a.y - 0.035 + 0.5 * a.x * a.x, z - 0.03)) - 0.018 + 1.5 * max(a.x - 0.10, 0.0));
    d = min(d, rod(a, vec3(0.535, 0.02, 0.63), vec3(0.80 * face_width, 0.05, -0.10), 0.020));
    return d + 0.05 * (1.0 - glasses);
}
float cloth_sdf(vec3 p) {
    float d = ellipsoid(p - vec3(0.0, -2.08, -0.34), vec3(1.25, 0.82, 0.60));
    vec3 c = p - vec3(0.0, mix(-1.46, -1.21, collar), -0.29);
    c.y += mix(0.34, 0.18, collar) * c.z;
    float ring = length(vec2(length(c.xz) - mix(0.50, 0.42, collar), c.y)) - mix(0.06, 0.09, collar);
    return blend(d, ring, 0.09);
}
float scene(vec3 p) {
    vec3 q = to_head(p);
    float d = min(skin_sdf(q, p), eye_sdf(q));
#ifdef WITH_TEETH
    d = min(d, teeth_sdf(q));
#endif
    d = min(d, hair_sdf(q, p));
#ifdef WITH_HEADWEAR
    if (hat > 0.0) d = min(d, hat_sdf(q).x);
    if (scarf > 0.0) d = min(d, scarf_sdf(q, p));
#endif
#ifdef WITH_GLASSES
    d = min(d, glasses_sdf(q));
#endif
    return min(d, cloth_sdf(p));
}

// ---- camera and light transport ---------------------------------------------------------------------------------

const float CAMERA_Z = 7.0, TARGET_Z = 0.55, HALF_WIDTH = 1.24;
const float NEAR = CAMERA_Z - 1.45, FAR = CAMERA_Z + 1.3, MISS = 1e3;
const float CAUTION = 0.82;              // step factor: first-order ellipsoids and displacements overstate distances

void camera(vec2 uv, out vec3 origin, out vec3 direction) {
    origin = vec3(CENTRE, CAMERA_Z);
    direction = normalize(vec3(CENTRE + HALF_WIDTH * uv, TARGET_Z) - origin);
}
// How far a ray goes until it is within a tenth of a pixel of something; MISS where it passes everything. The least step
// carries rays that graze a silhouette past it: left to creep they ran out of steps there and drew a dotted line.
float march(vec3 origin, vec3 direction, float t, int steps) {
    float d = 0.0;
    for (int i = 0; i < steps; i++) {
        d = scene(origin + direction * t);
        if (d < 0.002 || t > FAR) break;
        t += max(CAUTION * d, 0.007);
    }
    return t < FAR && d < 0.012 ? t : MISS;
}
// Gradient from the four corners e of a tetrahedron: sum of e f(p + h e), since the corners sum to zero and
// their outer products to a multiple of the identity.
vec3 surface_normal(vec3 p) {
    vec3 g = vec3(0.0);
    for (int i = 0; i < 4; i++) {
        vec3 e = vec3(i == 0 || i == 3 ? 1.0 : -1.0, i >= 2 ? 1.0 : -1.0, i == 1 || i == 3 ? 1.0 : -1.0);
        g += e * scene(p + 0.0035 * e);
    }
    return normalize(g);
}
float soft_shadow(vec3 p, vec3 light) {
    float lit = 1.0, t = 0.05;
    for (int i = 0; i < 9; i++) {
        float d = scene(p + light * t);
        lit = min(lit, 0.5 + 3.5 * d / t);
        if (lit < 0.0 || t > 1.3) break;
        t += clamp(d, 0.045, 0.22);
    }
    lit = clamp(lit, 0.0, 1.0);
    return lit * lit * (3.0 - 2.0 * lit);
}
float occlusion(vec3 p, vec3 n) {
    float lost = 0.0, weight = 1.0;
    for (int i = 1; i <= 3; i++) {
        float h = 0.07 * float(i);
        lost += weight * (h - scene(p + n * h));
        weight *= 0.62;
    }
    return 0.22 + 0.78 * clamp(1.0 - 2.4 * lost, 0.0, 1.0);
}

// ---- shading ----------------------------------------------------------------------------------------------------

vec3 background(vec2 uv) {
    float v = 0.5 * uv.y + 0.5 + 0.14 * uv.x * sin(light_azimuth);
    vec3 c = mix(background_low, background_high, smoothstep(-0.1, 1.1, v));
    const vec3 DISCS[5] = vec3[5](vec3(-0.82, 0.70, 0.30), vec3(0.80, 0.42, 0.38), vec3(-0.92, -0.15, 0.34),
                                  vec3(0.95, -0.35, 0.26), vec3(0.50, 0.98, 0.24));
    for (int i = 0; i < 5; i++) {
        float m = smoothstep(DISCS[i].z, 0.72 * DISCS[i].z, distance(uv, DISCS[i].xy));
        c += m * max(bokeh, 0.0) * 0.14 * (0.8 * background_high + 0.22);
    }
    return c * (1.0 - 0.11 * dot(uv, uv));
}
float hair_turn(vec3 q) { return atan(q.x - 0.25 * parting, q.z + 0.35 + 0.4 * max(q.y - 0.5, 0.0)); }
float strands(vec3 q) {
    float across = 9.0 * hair_turn(q) + 1.6 * max(curl, 0.0) * sin(9.0 * q.y) + 1.2 * q.y * parting;
    return value_noise(vec2(across, 1.3 * q.y + q.z));
}
// Colour of skin with everything painted on it. ``matte`` leaves with the share of skin that still scatters light.
vec3 painted_skin(vec3 q, inout float matte, inout float gloss_share) {
    vec3 a = vec3(abs(q.x), q.yz), c = skin_colour;
    // ruddy cheeks, nose and ears
    vec3 dc = (a - vec3(0.40, -0.30, 0.50)) * vec3(3.4, 4.2, 2.2);
    vec3 dn = 6.0 * (q - vec3(0.0, -0.31, 0.85));
    float cheek = exp(-dot(dc, dc)), nose = exp(-dot(dn, dn));
    float ear = smoothstep(0.68, 0.80, a.x) * smoothstep(0.25, 0.0, abs(q.y + 0.05)) * step(q.z, 0.25);
    c *= mix(vec3(1.0), vec3(1.08, 0.66, 0.64), clamp((0.10 + 0.9 * blush) * cheek + 0.35 * nose + 0.5 * ear, 0.0, 1.2));
    // eye sockets, shadowed lids, lashes
    vec3 e = a - eye_centre();
    float r = eye_radius();
    float socket = length(e.xy * vec2(1.0, 1.25)) / 0.235;
    c *= mix(vec3(1.0), vec3(0.90, 0.78, 0.76), (0.30 + 0.25 * old) * exp(-socket * socket * socket * socket));
    vec2 lids = lid_gap(e);
    float near = smoothstep(1.75 * r, r, length(e * vec3(0.9, 1.0, 0.6)));
    float lid = smoothstep(-0.135, -0.01, lids.x) * step(lids.x, 0.02) * smoothstep(-0.02, 0.03, e.y) * near;
    c = mix(c, eyeshadow_colour, 0.9 * lid * eyeshadow);
    float lash = smoothstep(-0.034, -0.006, lids.x) * near * smoothstep(-1.12 * r, -0.8 * r, -abs(e.x)) * smoothstep(-0.05, 0.02, e.y);
    float lower_lash = smoothstep(-0.018, 0.0, lids.y) * near * smoothstep(-1.05 * r, -0.7 * r, -abs(e.x)) * step(e.y, 0.02);
    c = mix(c, lash_colour, q.z > 0.3 ? clamp(0.93 * lash + 0.3 * lower_lash, 0.0, 0.95) : 0.0);
    // brows
    vec2 b = a.xy - vec2(eye_x() + 0.005, 0.235 + 0.045 * brow_height + 0.08 * (eye_size - 1.0));
    float arch = 0.26 * brow_angle * b.x - 1.05 * (b.x - 0.015) * (b.x - 0.015);
    float taper = smoothstep(-0.215, -0.15, b.x) * smoothstep(0.235, 0.02, b.x);
    float outside = abs(b.y - arch) - 0.034 * brow_thickness * taper * (0.6 + 0.4 * taper);
    c = mix(c, brow_colour, 0.92 * smoothstep(0.014, -0.014, outside) * smoothstep(0.0, 0.12, taper) * step(0.2, q.z));
    // cropped hair lies on the scalp as colour before it has any depth, with the hairline of longer hair
    float crop = smoothstep(0.03, -0.05, carve(neckline(q) - q.y, -face_opening(q), 0.10)) * hair_cover;
    crop *= smoothstep(-0.06, 0.16, q.y + 0.6 * max(-0.05 - q.z, 0.0));      // no sideburns below the ears
    c = mix(c, 0.8 * hair_colour + 0.06 * c, 0.9 * crop);
    matte *= 1.0 - crop;
#ifdef WITH_BEARD
    float grain = value_noise(vec2(26.0 * q.x, 15.0 * q.y));
    float whiskers = max(beard * beard_at(q), moustache * moustache_at(q));
    c = mix(c, beard_colour * (0.8 + 0.4 * grain), 0.95 * clamp(1.25 * whiskers, 0.0, 1.0));
    matte *= 1.0 - whiskers;
#endif
    // lips, the line between them, the inside of the mouth, the tongue
    vec3 m = to_mouth(q);
    float w = mouth_half(), jo = mouth_gap(), front = step(0.25, q.z);
    float profile = sqrt(max(1.0 - m.x * m.x / (w * w), 0.0));
    float on_lips = smoothstep(0.010, -0.010, lip_outline(m)) * front;
    c = mix(c, lip_colour, 0.9 * on_lips);
    gloss_share += 1.5 * on_lips;
    float seam = smoothstep(0.016, 0.0, abs(m.y + 0.12 * jo * profile) - 1.1 * jo * profile) * step(abs(m.x), w + 0.02) * front;
    float deep = smoothstep(0.0, 0.05, -m.z - 0.055) * seam * step(0.001, jo);
    c = mix(c, c * vec3(0.50, 0.26, 0.26), 0.75 * seam * (1.0 - deep));
    c = mix(c, vec3(0.10, 0.018, 0.02), deep);
    float tongue = length((m - vec3(0.0, -1.05 * jo, -0.10)) * vec3(0.75, 1.1, 0.4)) - 0.075;
    c = mix(c, vec3(0.45, 0.12, 0.12), smoothstep(0.03, -0.02, tongue) * deep);
    // wrinkles: forehead, crow's feet, below the eyes
    float line = abs(fract((q.y - 0.40 + 0.12 * q.x * q.x) / 0.10) - 0.5) * 0.10;
    float forehead = smoothstep(0.016, 0.0, line) * smoothstep(0.34, 0.40, q.y) * smoothstep(0.66, 0.58, q.y)
                   * smoothstep(0.40, 0.2, a.x) * step(0.3, q.z);
    vec2 f = e.xy - vec2(1.2 * r, 0.0);
    float feet = smoothstep(0.013, 0.0, abs(abs(f.y) - 0.35 * f.x - 0.02)) * smoothstep(-0.01, 0.02, f.x) * smoothstep(0.14, 0.07, f.x);
    float bag = smoothstep(0.018, 0.0, abs(length(e.xy * vec2(0.8, 1.0)) - 0.78 * r - 0.03)) * smoothstep(-0.04, -0.10, e.y) * front;
    return c * (1.0 - old * (0.24 * forehead + 0.16 * feet + 0.18 * bag));
}
// Linear colour of the surface at p seen along ``direction``; ``material`` names what was hit, for the edges.
vec3 surface_colour(vec3 p, vec3 direction, float ao, float lit, vec3 n, out float material) {
    vec3 q = to_head(p), a = vec3(abs(q.x), q.yz), nh = n * HEAD;
    float skin_d = skin_sdf(q, p), eye_d = eye_sdf(q), hair_d = hair_sdf(q, p), cloth_d = cloth_sdf(p);
    float teeth_d = MISS, glasses_d = MISS, scarf_d = MISS;
    vec2 hat_d = vec2(MISS);
#ifdef WITH_TEETH
    teeth_d = teeth_sdf(q);
#endif
#ifdef WITH_HEADWEAR
    if (hat > 0.0) hat_d = hat_sdf(q);
    if (scarf > 0.0) scarf_d = scarf_sdf(q, p);
#endif
#ifdef WITH_GLASSES
    glasses_d = glasses_sdf(q);
#endif
    float nearest = min(min(min(skin_d, eye_d), min(hair_d, cloth_d)), min(min(teeth_d, scarf_d), min(hat_d.x, glasses_d)));
    vec3 view = -direction, half_way = normalize(KEY + view);
    float n_key = dot(n, KEY), n_view = clamp(dot(n, view), 0.0, 1.0), n_half = clamp(dot(n, half_way), 0.0, 1.0);
    vec3 albedo, wrap = vec3(0.15), glint = vec3(0.0);
    float shine = 0.0, gloss = 20.0, matte = 0.0;      // matte: share of skin, whose shadows bleed red
    if (nearest == glasses_d) {
        material = 1.0;
        albedo = frame_colour; shine = 0.6; gloss = 50.0;
    } else if (nearest == hat_d.x) {
        material = 2.0;
        float ribs = sin(26.0 * atan(q.x, q.z + 0.2));
        albedo = hat_colour * (0.93 + 0.07 * ribs) * mix(0.82, 1.0, smoothstep(-0.01, 0.01, hat_d.y - 0.001));
        wrap = vec3(0.3); shine = 0.02; gloss = 8.0;
    } else if (nearest == scarf_d) {
        material = 8.0;
        albedo = scarf_colour; wrap = vec3(0.32); shine = 0.05; gloss = 10.0;
    } else if (nearest == hair_d) {
        material = 3.0;
        wrap = vec3(0.22);
        float s = strands(q), fine = s + 0.5 * value_noise(vec2(29.0 * hair_turn(q), 3.0 * q.y));
        vec3 slope = vec3(strands(q + vec3(0.012, 0, 0)), strands(q + vec3(0, 0.012, 0)), strands(q + vec3(0, 0, 0.012))) - s;
        slope /= 0.012;
        nh = normalize(nh - 0.026 * (1.0 - afro) * (slope - nh * dot(slope, nh)));
        n = HEAD * nh; n_key = dot(n, KEY); n_half = clamp(dot(n, half_way), 0.0, 1.0);
        albedo = hair_colour * mix(0.66 + 0.44 * fine, 0.92, 0.8 * afro);
#ifdef WITH_CURL
        vec3 h = mix(q, p, 0.6 * smoothstep(-0.3, -1.2, q.y));
        float height = rope(h);
        float plait = 0.5 + 0.5 * sin(34.0 * q.y + 4.0 * sin(24.0 * atan(h.x, h.z + 0.24)));
        albedo *= mix(1.0, (0.55 + 0.45 * smoothstep(-0.45, 0.1, height)) * (0.82 + 0.24 * plait), braids);
#endif
        // highlight across the strands (Kajiya & Kay 1989): strong where the half vector is normal to the tangent
        vec3 down = vec3(0.3 * parting, -1.0, 0.1), tangent = normalize(down - nh * dot(down, nh));
        float along = dot(tangent, half_way * HEAD);
        glint = (0.6 * hair_colour + 0.08) * 0.36 * (1.0 - 0.75 * afro) * pow(max(1.0 - along * along, 0.0), 26.0)
              * smoothstep(-0.2, 0.5, n_key) * (0.55 + 0.6 * fine) * lit;
        shine = 0.04; gloss = 12.0;
    } else if (nearest == cloth_d) {
        material = 4.0;
        albedo = clothes_colour; wrap = vec3(0.3); shine = 0.03; gloss = 8.0;
    } else if (nearest == teeth_d) {
        material = 5.0;
        albedo = vec3(0.86, 0.84, 0.80); shine = 0.3; gloss = 60.0; wrap = vec3(0.4);
        ao = mix(ao, 1.0, 0.5); lit = mix(lit, 1.0, 0.6);
    } else if (nearest == eye_d) {
        material = 6.0;
        vec3 ball = normalize(a - eye_centre());
        ball.x *= sign(q.x);
        // eyes follow the camera against the turn of the head, then look past it by the gaze
        vec3 camera_way = vec3(0.0, 0.0, 1.0) * HEAD;
        vec3 g = normalize(vec3(0.8 * camera_way.x + gaze - 0.035 * sign(q.x), 0.8 * camera_way.y - 0.01, 1.0));
        float r = dot(ball, g) < 0.0 ? 1.0 : length(cross(ball, g));
        vec2 lids = lid_gap(a - eye_centre());
        albedo = mix(vec3(0.80, 0.785, 0.78), vec3(0.74, 0.50, 0.44), 0.3 * smoothstep(0.55, 1.0, abs(ball.x)));
        float height = dot(normalize(ball - g * dot(ball, g) + 1e-4), vec3(0.0, 1.0, 0.0));
        vec3 iris_paint = iris_colour * (0.65 + 0.75 * smoothstep(0.3, -0.6, height) * smoothstep(0.1, 0.5, r));
        iris_paint *= mix(1.0, 0.30, smoothstep(0.42, 0.62, r));
        iris_paint = mix(iris_paint, vec3(0.012), smoothstep(0.32, 0.26, r));
        albedo = mix(albedo, iris_paint, smoothstep(0.655, 0.585, r));
        ao *= mix(0.45, 1.0, smoothstep(-0.01, 0.075, lids.x)) * mix(0.75, 1.0, smoothstep(0.0, 0.03, lids.y));
        lit = mix(1.0, lit, 0.5); wrap = vec3(0.45);
        // two catch-lights at fixed places beside the pupil: they keep the eyes alive in any light
        vec3 world_ball = HEAD * ball, world_gaze = HEAD * g;
        vec3 first = normalize(world_gaze + vec3(0.26 * KEY.x + 0.02, 0.27, 0.0));
        vec3 second = normalize(world_gaze + vec3(-0.25 * KEY.x - 0.02, -0.24, 0.0));
        glint = vec3(1.15) * smoothstep(0.17, 0.105, distance(world_ball, first))
              + vec3(0.16) * smoothstep(0.12, 0.05, distance(world_ball, second));
        shine = 0.22; gloss = 90.0;
    } else {
        material = 7.0;
        matte = 1.0;
        float gloss_share = 1.0;
        albedo = painted_skin(q, matte, gloss_share);
        wrap = vec3(0.48, 0.24, 0.17);                 // light creeps past the terminator, red furthest: cheap scattering
        shine = skin_shine * gloss_share * (0.35 + 0.65 * matte); gloss = 18.0;
    }
    vec3 diffuse = clamp((vec3(n_key) + wrap) / (1.0 + wrap), 0.0, 1.0);
    vec3 shadow = pow(vec3(lit), mix(vec3(1.0), vec3(0.55, 0.95, 1.1), matte));
    vec3 open = pow(vec3(ao), mix(vec3(1.0), vec3(0.72, 1.05, 1.12), matte));
    vec3 c = albedo * key_colour * diffuse * shadow;
    c += albedo * mix(ground_colour, sky_colour, 0.5 + 0.5 * n.y) * open;
    c += albedo * fill_colour * clamp(0.6 * dot(n, normalize(vec3(-1.2 * KEY.x, 0.05, 0.8))) + 0.4, 0.0, 1.0) * open;
    c += shine * pow(n_half, gloss) * key_colour * lit * 0.55 * (0.03 * gloss + 0.3);
    c += (0.5 * albedo + 0.05) * pow(1.0 - n_view, 4.0) * sky_colour * ao * 0.8;
    vec3 behind = normalize(vec3(-0.8 * sign(KEY.x + 0.001), 0.35, -0.75));
    float rim = clamp(dot(n, behind) + 0.15, 0.0, 1.0) * pow(1.0 - n_view, 2.5);
    c += (0.8 * albedo + 0.07) * rim * rim_colour * ao;
    return c + glint * key_colour * 0.42 * mix(0.6, 1.0, lit);
}
// The lenses of the glasses over what lies behind them: a little darker, one soft reflection.
vec3 through_lenses(vec3 origin, vec3 direction, float t, vec3 c) {
    vec3 o = to_head(origin), d = direction * HEAD, q = vec3(0.0);
    float meet = 0.0;
    for (int i = 0; i < 3; i++) {
        meet = (glasses_surface(q.x) - o.z) / d.z;
        q = o + d * meet;
    }
    if (meet > t + 0.01) return c;
    vec2 v = vec2(abs(q.x), q.y) - LENS;
    float inside = smoothstep(0.004, -0.01, lens_outline(v)) * glasses;
    float band = smoothstep(0.05, 0.0, abs(fract(1.6 * (v.x * sign(q.x) + 1.1 * v.y) + 0.35) - 0.5) - 0.13);
    return mix(c, 0.94 * c + vec3(0.022, 0.028, 0.034) + 0.04 * band, inside);
}
// Linear to displayed colour: an exponential shoulder, which no highlight leaves, then gamma.
vec3 develop(vec3 c) {
    c = max(mix(vec3(dot(c, vec3(0.25, 0.65, 0.10))), c, 1.09), 0.0);       // gives back what the shoulder bleaches
    return pow(1.0 - exp(-1.45 * c), vec3(1.0 / 2.2));
}
