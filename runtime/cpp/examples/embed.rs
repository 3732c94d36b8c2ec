//! embed MODEL [STEPS]: writes one image as a PGM or PPM to the standard output, through the C
//! interface alone. Needs no crate:
//!
//!     rustc -O embed.rs -L native=PREFIX/lib -C link-arg=-Wl,-rpath,PREFIX/lib
use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::raw::{c_char, c_void};

/// The beginning of ddpm_rt_info. The library fills as much of a struct as `struct_size` says.
#[repr(C)]
#[derive(Default)]
struct Info {
    struct_size: u32,
    channels: u32,
    height: u32,
    width: u32,
}

/// The beginning of ddpm_rt_sample_options. The fields that are missing here keep their defaults.
#[repr(C)]
#[derive(Default)]
struct SampleOptions {
    struct_size: u32,
    seed: u64,
    first: u64,
    count: u64,
    batch: u64,
}

#[link(name = "ddpm_rt")]
extern "C" {
    fn ddpm_rt_open(model: *const c_char, steps: *const c_char, options: *const c_void, sampler: *mut *mut c_void) -> i32;
    fn ddpm_rt_info_init(info: *mut Info, size: usize) -> i32;
    fn ddpm_rt_describe(sampler: *const c_void, info: *mut Info) -> i32;
    fn ddpm_rt_sample_options_init(options: *mut SampleOptions, size: usize) -> i32;
    fn ddpm_rt_sample(sampler: *mut c_void, options: *const SampleOptions, images: *mut f32, floats: usize) -> i32;
    fn ddpm_rt_last_error() -> *const c_char;
    fn ddpm_rt_close(sampler: *mut c_void);
}

fn check(status: i32) -> Result<(), String> {
    match status {
        0 => Ok(()),
        _ => Err(unsafe { CStr::from_ptr(ddpm_rt_last_error()) }.to_string_lossy().into_owned()),
    }
}

struct Sampler(*mut c_void);

impl Drop for Sampler {
    fn drop(&mut self) {
        unsafe { ddpm_rt_close(self.0) }
    }
}

impl Sampler {
    /// Without steps, the sampler runs the fitted table in the model.
    fn open(model: &str, steps: Option<&str>) -> Result<Sampler, String> {
        let text = |path: &str| CString::new(path).map_err(|error| error.to_string());
        let (model, steps) = (text(model)?, steps.map(text).transpose()?);
        let steps = steps.as_ref().map_or(std::ptr::null(), |path| path.as_ptr());
        let mut sampler = Sampler(std::ptr::null_mut());
        check(unsafe { ddpm_rt_open(model.as_ptr(), steps, std::ptr::null(), &mut sampler.0) })?;
        Ok(sampler)
    }

    fn info(&self) -> Result<Info, String> {
        let mut info = Info::default();
        check(unsafe { ddpm_rt_info_init(&mut info, std::mem::size_of::<Info>()) })?;
        check(unsafe { ddpm_rt_describe(self.0, &mut info) })?;
        Ok(info)
    }

    /// Sample 0 of the seed, [C, H, W].
    fn draw(&mut self, seed: u64) -> Result<Vec<f32>, String> {
        let info = self.info()?;
        let mut options = SampleOptions::default();
        check(unsafe { ddpm_rt_sample_options_init(&mut options, std::mem::size_of::<SampleOptions>()) })?;
        options.seed = seed;
        let mut image = vec![0f32; (info.channels * info.height * info.width) as usize];
        check(unsafe { ddpm_rt_sample(self.0, &options, image.as_mut_ptr(), image.len()) })?;
        Ok(image)
    }
}

fn main() -> Result<(), String> {
    let words: Vec<String> = std::env::args().collect();
    if words.len() != 2 && words.len() != 3 {
        return Err("embed MODEL [STEPS]".to_string());
    }
    let mut sampler = Sampler::open(&words[1], words.get(2).map(String::as_str))?;
    let info = sampler.info()?;
    let image = sampler.draw(7)?;
    let (channels, area) = (info.channels as usize, (info.height * info.width) as usize);
    let kind = if channels == 1 { 5 } else { 6 };
    let mut out = format!("P{}\n{} {}\n255\n", kind, info.width, info.height).into_bytes();
    for at in 0..area {
        out.extend((0..channels).map(|channel| (image[channel * area + at] * 127.5 + 128.0) as u8)); // saturates
    }
    std::io::stdout().write_all(&out).map_err(|error| error.to_string())
}
